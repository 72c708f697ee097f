"""Real threads on real databases: what is enough for twenty lets twenty through, never one more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import copy_of_migrated, migrated_postgres
from tests.environment import REPOSITORY

pytestmark = pytest.mark.slow
EACH = """\
credit: 20 held, 180 refused
credit line: 20 held, 180 refused
cap of the organisation: 20 held, 180 refused
cap of the key: 20 held, 180 refused"""


def race(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.billing.race"],
        cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_two_hundred_threads_on_sqlite(tmp_path: Path) -> None:
    assert race(DATA_DIR=str(copy_of_migrated(tmp_path))) == EACH


@pytest.mark.services
def test_two_hundred_threads_on_postgresql(tmp_path: Path) -> None:
    with migrated_postgres() as address:
        answer = race(DATA_DIR=str(tmp_path), DATABASE_URL=address, DB_THREADS="60")
    assert answer == EACH
