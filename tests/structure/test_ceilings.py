"""Files have one subject and a ceiling; functions fit on a screen."""

import ast
import subprocess
from functools import cache
from pathlib import Path

from tests.environment import REPOSITORY

LINES = {".py": 400, ".js": 400, ".css": 200, ".html": 150}
FUNCTION_LINES = 60
EXEMPT = ("/migrations/", "/vendor/", "_pb2")


@cache
def our_files() -> list[tuple[Path, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    paths = [
        REPOSITORY / name
        for name in filter(None, listed)
        if not any(part in name for part in EXEMPT)
    ]
    return [(path, path.read_text()) for path in paths if path.suffix in LINES and path.exists()]


@cache
def our_trees() -> dict[Path, ast.Module]:
    """Of every Python file."""
    return {path: ast.parse(text) for path, text in our_files() if path.suffix == ".py"}


def test_no_file_is_longer_than_its_ceiling() -> None:
    too_long = {
        str(path.relative_to(REPOSITORY)): text.count("\n")
        for path, text in our_files()
        if text.count("\n") > LINES[path.suffix]
    }
    assert too_long == {}


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = {}
    for path, tree in our_trees().items():
        if path.is_relative_to(REPOSITORY / "tests"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if length > FUNCTION_LINES:
                    too_long[f"{path.relative_to(REPOSITORY)}:{node.name}"] = length
    assert too_long == {}


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(path.relative_to(REPOSITORY))
        for path, tree in our_trees().items()
        if path.name not in {"__init__.py", "apps.py"} and ast.get_docstring(tree) is None
    ]
    assert silent == []
