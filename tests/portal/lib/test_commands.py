"""Commands that meet another database than the site's, or one that is being made."""

import fcntl
import re
import subprocess
import sys
import time
from pathlib import Path

from django.core.management import get_commands, load_command_class

from portal.lib.commands import SiteCommand
from tests.databases import copy_of_migrated
from tests.environment import REPOSITORY, site_environment
from tests.story.site import embedded_site, wait_until_ready

OURS = {"accounts", "billing", "inference", "portal"}
WITHOUT_TABLES = {"evaluatestarter", "messages", "serve", "trainstarter"}  # or they make them


def test_an_empty_database_is_told_by_its_place(tmp_path: Path) -> None:
    done = run(
        ["issuekey", "--email", "alice@example.com", "--name", "laptop"],
        site_environment(tmp_path),
    )
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.strip().splitlines()
    assert first.startswith(f"CommandError: The database {tmp_path}/parlance.sqlite3 cannot be")
    assert "no such table" in first
    assert second.startswith("Are DATA_DIR and DATABASE_URL those of the site")


def test_one_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    away = site_environment(tmp_path, DATABASE_URL="postgres://parlance:hush@127.0.0.1:9/site")
    done = run(["operatorlink"], away)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("CommandError: The database site cannot be used") == 1
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr


def test_one_whose_tables_are_being_made_is_waited_for(tmp_path: Path) -> None:
    """Whoever starts the site and asks for a key at once gets one, and the site starts."""
    command = ["issuekey", "--email", "alice@example.com", "--name", "laptop"]
    with (tmp_path / "migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        asking = start(command, site_environment(tmp_path))
        wait_until_locked_out(asking.pid)
        copy_of_migrated(tmp_path)
    said, complaint = asking.communicate(timeout=180)
    assert said.startswith("sk-prl-"), complaint


def test_tables_are_not_made_beside_a_command(tmp_path: Path) -> None:
    with embedded_site(tmp_path, ENGINE_FAKE="true") as site:
        site.processes["serve"].terminate()
        site.processes["serve"].wait(60)
        with (tmp_path / "migrating").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            site.restart("serve")
            wait_until_locked_out(site.processes["serve"].pid)
        wait_until_ready(site)


def wait_until_locked_out(pid: int) -> None:
    """Until the process waits for a lock of a file, as Linux lists it."""
    deadline = time.monotonic() + 180
    waits = re.compile(rf"-> FLOCK +ADVISORY +\w+ +{pid} ")
    while not waits.search(Path("/proc/locks").read_text()):
        assert time.monotonic() < deadline, "it waits for nobody"
        time.sleep(0.05)


def test_every_command_on_the_sites_tables_does() -> None:
    ours = {name: app for name, app in get_commands().items() if app in OURS}
    others = {
        name
        for name, app in ours.items()
        if not isinstance(load_command_class(str(app), name), SiteCommand)
    }
    assert others == WITHOUT_TABLES


def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    with start(command, env) as process:
        said, complaint = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, said, complaint)


def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *command],
        cwd=REPOSITORY,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
