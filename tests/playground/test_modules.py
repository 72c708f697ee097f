"""Runs the tests of the page's modules, which need no browser: `node --test`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.environment import CI, REPOSITORY

# The first that takes a `.js` file with imports for what it is.
OLDEST_NODE = (20, 19)
MODULES = (
    "blocks",
    "editors",
    "formulas",
    "palette",
    "state",
    "request",
    "server",
    "socket",
    "store",
    "recovery",
)


def node() -> str:
    found = shutil.which("node")
    reason = "Node.js is not installed (Debian: apt-get install nodejs)"
    if found:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
        numbers = tuple(int(part) for part in re.findall(r"\d+", version.stdout)[:2])
        if numbers >= OLDEST_NODE:
            return found
        reason = f"Node.js {version.stdout.strip()} is too old"
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.parametrize("name", MODULES)
def test_the_modules_do_what_their_tests_say(name: str) -> None:
    path = Path("tests/playground/js") / f"{name}.test.mjs"
    done = subprocess.run(
        [node(), "--test", str(path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_test_is_run() -> None:
    there = {path.name for path in (REPOSITORY / "tests/playground/js").glob("*.test.mjs")}
    assert there == {f"{name}.test.mjs" for name in MODULES}
