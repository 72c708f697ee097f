"""Leases are renewed beside settlements on PostgreSQL, and neither fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import migrated_postgres
from tests.environment import REPOSITORY


@pytest.mark.services
def test_renewals_and_settlements_never_wait_for_each_other_in_a_circle(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.conformance.race_renewals"]
    with migrated_postgres() as address:
        env = {**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": address}
        done = subprocess.run(
            command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=180
        )
    assert done.returncode == 0, done.stdout + done.stderr
