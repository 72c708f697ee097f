"""Real threads on real databases: what all workers do at once happens once."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.databases import copy_of_migrated, migrated_postgres
from tests.environment import REPOSITORY

pytestmark = pytest.mark.slow
ONCE = "one charge, one refund, one dispute, one batch, one invoice, one end"


def race(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.billing.race_payments"],
        cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_once_on_sqlite(tmp_path: Path, reference_data: Callable[[str], Path]) -> None:
    reference_data("stripe/fixtures3.json")
    assert race(DATA_DIR=str(copy_of_migrated(tmp_path))) == ONCE


@pytest.mark.services
def test_once_on_postgresql(tmp_path: Path, reference_data: Callable[[str], Path]) -> None:
    reference_data("stripe/fixtures3.json")
    with migrated_postgres() as address:
        assert race(DATA_DIR=str(tmp_path), DATABASE_URL=address, DB_THREADS="60") == ONCE
