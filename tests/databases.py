"""Migrated databases: each kind is made once in a run and copied, for migrations take seconds."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.environment import REPOSITORY, site_environment
from tests.made_once import made_once
from tests.services import postgres_server

SQLITE = "parlance.sqlite3"  # in the data folder


def copy_of_migrated(data_dir: Path) -> Path:
    """Put a migrated SQLite database where a site with this data folder looks for it."""
    made = made_once("sqlite", lambda folder: migrate(site_environment(folder)))
    shutil.copy(made / SQLITE, data_dir)
    return data_dir


@contextmanager
def migrated_postgres() -> Iterator[str]:
    """The address of a fresh PostgreSQL after migrations."""

    def make(folder: Path) -> None:
        with postgres_server(keep=folder / "data") as address:
            migrate(site_environment(folder, DATABASE_URL=address))

    with postgres_server(like=made_once("postgres", make) / "data") as address:
        yield address


def migrate(env: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=REPOSITORY, env=env, check=True)
