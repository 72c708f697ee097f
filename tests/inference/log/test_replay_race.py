"""Real threads on real databases: of those who send the same key at once, one runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import copy_of_migrated, migrated_postgres
from tests.environment import REPOSITORY

pytestmark = pytest.mark.slow


def race(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.inference.log.race"],
        cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_fifty_threads_on_sqlite(tmp_path: Path) -> None:
    assert race(DATA_DIR=str(copy_of_migrated(tmp_path))) == "20 of 1000 ran"


@pytest.mark.services
def test_fifty_threads_on_postgresql(tmp_path: Path) -> None:
    with migrated_postgres() as address:
        answer = race(DATA_DIR=str(tmp_path), DATABASE_URL=address, DB_THREADS="60")
    assert answer == "20 of 1000 ran"
