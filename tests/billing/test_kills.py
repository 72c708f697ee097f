"""`kill -9` at every write and commit of what moves money: nothing lost, doubled or left open."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.databases import copy_of_migrated
from tests.environment import REPOSITORY

pytestmark = pytest.mark.slow


def killed(*cases: str, **environment: str) -> list[str]:
    """Run these cases, or all; the names of those that were killed at every step and hold."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.billing.kills", *cases],
        cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(": killed ") for line in done.stdout.splitlines() if ": killed " in line]
    assert all(int(times.split()[0]) for _case, times in lines), lines
    return [case for case, _times in lines]


def test_a_request_and_a_payment_on_sqlite(
    tmp_path: Path, reference_data: Callable[[str], Path]
) -> None:
    """All that moves money, on both databases: tests/conformance/test_kills.py."""
    reference_data("stripe/fixtures3.json")
    cases = ["a_hold", "an_extension", "a_settling", "a_sweep", "a_payment_page"]
    assert killed(*cases, DATA_DIR=str(copy_of_migrated(tmp_path))) == cases
