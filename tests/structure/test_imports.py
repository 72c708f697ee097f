"""The import rules of docs/architecture.md hold, and the web side never loads torch."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest

from tests.environment import REPOSITORY
from tests.structure.test_ceilings import our_trees

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def lint_imports(cwd: object = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    return subprocess.run([*command, "--no-cache"], cwd=str(cwd), capture_output=True, text=True)


def test_import_rules_hold() -> None:
    done = lint_imports()
    assert done.returncode == 0, done.stdout + done.stderr


# Whoever stands in a folder takes of that package these alone: rules for import-linter name what is
# forbidden, and would not know of a module that comes later.
ALONE = [
    ("accounts", "portal", ("portal.lib",)),
    ("billing", "portal", ("portal.lib",)),
    ("inference", "portal", ("portal.lib",)),
    ("playground", "portal", ("portal.lib",)),
    ("inference/engine", "inference", ("inference.engine", "inference.training")),
    ("inference/training", "inference", ("inference.engine", "inference.training")),
]


def imported(tree: ast.Module) -> Iterator[str]:
    """Names of modules; of `from a import b`, which may be one of them, `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


@pytest.mark.parametrize(("folder", "package", "allowed"), ALONE)
def test_nobody_takes_more_of_a_package_than_its_part(
    folder: str, package: str, allowed: tuple[str, ...]
) -> None:
    theirs = [
        tree for path, tree in our_trees().items() if path.is_relative_to(REPOSITORY / folder)
    ]
    found = {
        name for tree in theirs for name in imported(tree) if f"{name}.".startswith(f"{package}.")
    }
    assert any(f"{name}.".startswith(f"{each}.") for name in found for each in allowed)
    assert {
        n for n in found if not any(f"{n}.".startswith(f"{each}.") for each in allowed)
    } == set()


WEB_IMPORTS = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
import portal.asgi
from django.core.management import get_commands
import inference.engine.fake, inference.engine.params
import inference.engine.wire.answering, inference.engine.wire.calling
heavy = [name for name in ("torch", "transformers") if name in sys.modules]
assert not heavy, heavy
"""


def test_the_web_side_never_imports_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WEB_IMPORTS], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


ENGINE_IMPORTS = """
import pkgutil, sys
import inference.engine
for module in pkgutil.walk_packages(inference.engine.__path__, "inference.engine."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
assert "django" not in sys.modules
"""


@pytest.mark.slow
def test_the_engine_never_imports_django() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENGINE_IMPORTS], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
