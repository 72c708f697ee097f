"""What `deploy/` and `.env.example` give operators: read by what reads them there."""

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.environment import REPOSITORY

SYSTEMD = REPOSITORY / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
TIMERS = sorted(SYSTEMD.glob("*.timer"))
# What a timer starts comes to its end; the others run on.
RUN_ON = [unit for unit in UNITS if unit.with_suffix(".timer") not in TIMERS]
BURST, WITHIN_S = 5, 10  # systemd's defaults: who is started more often is given up


def section(unit: Path, name: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return dict(parser[name])


@pytest.mark.parametrize("unit", RUN_ON, ids=lambda unit: unit.name)
def test_a_unit_is_started_again_however_long_something_is_away(unit: Path) -> None:
    service = section(unit, "Service")
    assert service["Restart"] == "always"
    assert float(service["RestartSec"]) * BURST > WITHIN_S


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_understands_every_unit(tmp_path: Path) -> None:
    """But for what is only there once it is installed."""
    for unit in (*UNITS, *TIMERS):
        text = unit.read_text().replace("/opt/parlance/.venv/bin/", "/usr/bin/env ")
        (tmp_path / unit.name.replace("@.", "@8001.")).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in verified.stderr.splitlines() if str(tmp_path) in line] == []


def test_the_ledger_is_audited_every_night() -> None:
    [timer] = TIMERS
    service = section(timer.with_suffix(".service"), "Service")
    assert service["Type"] == "oneshot"
    assert service["ExecStart"].endswith("manage.py auditledger")
    assert section(timer, "Install")["WantedBy"] == "timers.target"


def test_an_engine_may_keep_what_it_compiles_whoever_runs_it() -> None:
    """Models run several times slower without, and Debian's system users have no home."""
    service = section(REPOSITORY / "deploy" / "systemd" / "parlance-engine@.service", "Service")
    assert service["Environment"] == f"HOME=%C/{service['CacheDirectory']}"


def test_a_shell_reads_the_example_as_systemd_does() -> None:
    """Management commands need the units' settings."""
    script = '. ./.env.example; printf %s "$DEFAULT_FROM_EMAIL"'
    shell = ["sh", "-euc", script]
    read = subprocess.run(shell, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert read.stdout == "Parlance <no-reply@parlance.example.com>"


def test_with_the_example_nothing_is_left_to_warn_of(tmp_path: Path) -> None:
    """Warnings that are always there would hide one that is not."""
    fill = f"SECRET_KEY={'one-of-a-test-' * 5} DATA_DIR={tmp_path}"
    script = f"set -a; . ./.env.example; {fill}; exec {sys.executable} manage.py check --deploy"
    done = subprocess.run(["sh", "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout, done.stderr
