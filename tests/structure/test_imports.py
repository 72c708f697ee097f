"""The import rules of docs/architecture.md hold, and the web side never loads torch."""

import subprocess
import sys
import tomllib

import pytest

from tests.environment import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def lint_imports(cwd: object = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    return subprocess.run([*command, "--no-cache"], cwd=str(cwd), capture_output=True, text=True)


def test_import_rules_hold() -> None:
    done = lint_imports()
    assert done.returncode == 0, done.stdout + done.stderr


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
