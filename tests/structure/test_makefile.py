"""What the Makefile starts ends with it, and what it cleans is what it made."""

import shutil
import subprocess
from pathlib import Path

from tests.environment import REPOSITORY

# Instead of the site: says what it was started with, and ends when it is told to.
SITE = """#!/bin/sh
trap 'echo drained; exit 0' TERM
echo "PORT=$PORT $*"
for _ in $(seq 100); do sleep 0.05; done
"""


def test_ending_make_run_ends_the_site(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(SITE)
    python.chmod(0o755)
    (tmp_path / ".venv" / ".installed").touch()
    with subprocess.Popen(
        ["make", "--no-print-directory", "run", "PORT=9000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as make:
        assert make.stdout is not None
        assert make.stdout.readline() == "PORT=9000 manage.py serve\n"
        make.terminate()
        assert make.stdout.readline() == "drained\n"


def test_cleaning_leaves_the_data(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    for name in (".venv", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "something").touch()
    subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, check=True)
    assert not (tmp_path / ".venv").exists()
    assert (tmp_path / "data" / "something").exists()
