"""`manage.py serve` around the site: its port, its database's files, a backup put back."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.databases import SQLITE
from tests.environment import REPOSITORY, site_environment
from tests.services import free_port
from tests.story.site import embedded_site, wait_until_ready

OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text()
COUNT_KEYS = "SELECT COUNT(*) FROM accounts_apikey"


def test_a_port_that_is_taken_is_named_before_anything_begins(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
        started = subprocess.run(
            [sys.executable, "manage.py", "serve"],
            cwd=REPOSITORY,
            env=site_environment(tmp_path, PORT=port),
            capture_output=True,
            text=True,
            check=False,
        )
    assert started.returncode == 1
    expected = f"CommandError: Cannot listen on 127.0.0.1, PORT {port}: Address already in use."
    assert started.stderr.strip().splitlines()[-1] == expected
    assert not (tmp_path / SQLITE).exists()


def test_a_second_one_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Also one on another port; after `kill -9` the folder is free at once."""
    with embedded_site(tmp_path, ENGINE_FAKE="true") as site:
        second = subprocess.run(
            [sys.executable, "manage.py", "serve", "--port", str(free_port())],
            cwd=REPOSITORY,
            env=site.env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert second.returncode == 1
        expected = f"CommandError: Another serve runs in DATA_DIR {tmp_path}."
        assert second.stderr.strip().splitlines()[-1] == expected
        assert "Preparing" not in second.stdout
        wait_until_ready(site)
        site.processes["serve"].kill()
        site.restart("serve")
        wait_until_ready(site)


BROKEN = """
import os
import socket
os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
import django
django.setup()
from portal.serving.server import serve

async def application(scope, receive, send):
    await receive()
    raise OSError("no room")

serve(application, socket.create_server(("127.0.0.1", 0)))
"""


def test_a_site_that_does_not_start_ends(tmp_path: Path) -> None:
    """Half of it would take requests and answer none."""
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN],
        cwd=REPOSITORY,
        env=site_environment(tmp_path),
        timeout=180,
        check=False,
    )
    assert ended.returncode == 3


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs Debian's sqlite3")
def test_a_backup_is_put_back_as_the_docs_say(tmp_path: Path) -> None:
    back_up, restore = re.findall(r'^sqlite3 data/.*"$', OPERATIONS, re.MULTILINE)
    data_dir = tmp_path / "data"
    with embedded_site(data_dir, ENGINE_FAKE="true") as site:
        site.issue_key("alice@example.com", "5")
        subprocess.run(back_up, shell=True, cwd=tmp_path, check=True)
        site.issue_key("alice@example.com", "5")
        process = site.processes["serve"]
        process.send_signal(signal.SIGINT)
        process.wait(60)
        log = data_dir / f"{SQLITE}-wal"
        assert not log.exists() or log.stat().st_size == 0
        assert site.query(COUNT_KEYS) == 2
        subprocess.run(restore, shell=True, cwd=tmp_path, check=True)
        assert site.query(COUNT_KEYS) == 1
        site.restart("serve")
        wait_until_ready(site)
        site.issue_key("alice@example.com", "5")
        site.processes["serve"].kill()
        site.processes["serve"].wait()
        assert log.stat().st_size > 0
        subprocess.run(restore, shell=True, cwd=tmp_path, check=True)
        assert site.query_text("PRAGMA integrity_check") == "ok"
        assert site.query(COUNT_KEYS) == 1
        site.audit()
