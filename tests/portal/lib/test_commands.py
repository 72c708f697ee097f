"""Commands that meet another database than the site's."""

import subprocess
import sys
from pathlib import Path

from django.core.management import get_commands, load_command_class

from portal.lib.commands import SiteCommand
from tests.environment import REPOSITORY, site_environment

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


def test_every_command_on_the_sites_tables_does() -> None:
    ours = {name: app for name, app in get_commands().items() if app in OURS}
    others = {
        name
        for name, app in ours.items()
        if not isinstance(load_command_class(str(app), name), SiteCommand)
    }
    assert others == WITHOUT_TABLES


def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
