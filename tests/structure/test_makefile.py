"""What the Makefile starts ends with it, and what it cleans is what it made."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.environment import REPOSITORY

# Instead of the site: says what it was started with, and ends when it is told to.
SITE = """#!/bin/sh
trap 'echo drained; exit 0' TERM
echo "PORT=$PORT $*"
for _ in $(seq 100); do sleep 0.05; done
"""
# Instead of Python on a full disk: begins an environment.
BREAKS_OFF = """#!/bin/sh
[ "$2" = venv ] || exit 0
mkdir -p .venv/bin
ln -sf "$0" .venv/bin/python
echo "no room" >&2
exit 1
"""


def pretend_to_install(folder: Path, python: str) -> None:
    """Put the Makefile there, with `python` in place of what it would install."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, folder)
    stand_in = folder / ".venv" / "bin" / "python"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text(python)
    stand_in.chmod(0o755)
    for name in (".installed", ".installed-test"):
        (folder / ".venv" / name).touch()


def test_ending_make_run_ends_the_site(tmp_path: Path) -> None:
    pretend_to_install(tmp_path, SITE)
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


@pytest.mark.parametrize("key", ["", "sk_live_1"])
def test_what_needs_a_test_key_of_stripes_says_so(tmp_path: Path, key: str) -> None:
    pretend_to_install(tmp_path, "#!/bin/sh\necho tested")
    command = ["make", "test-stripe", f"STRIPE_TEST_SECRET_KEY={key}"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert "Missing: STRIPE_TEST_SECRET_KEY" in told.stdout
    assert "tested" not in told.stdout


def test_an_environment_that_was_broken_off_is_made_anew(tmp_path: Path) -> None:
    """A full disk leaves its Python without pip, and what is there is not installed into."""
    pretend_to_install(tmp_path, SITE)
    shutil.rmtree(tmp_path / ".venv")
    full = tmp_path / "python3"
    full.write_text(BREAKS_OFF)
    full.chmod(0o755)
    for _ in range(2):
        command = ["make", "setup", f"PYTHON={full}"]
        told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert told.returncode != 0
        assert "no room" in told.stderr


def test_cleaning_leaves_the_data(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    for name in (".venv", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "something").touch()
    subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, check=True)
    assert not (tmp_path / ".venv").exists()
    assert (tmp_path / "data" / "something").exists()
