"""Every setting that the environment may change is in the table that operators read."""

import ast
import re

from tests.environment import REPOSITORY


def from_environment() -> set[str]:
    """The variables that `portal/settings.py` reads through `portal.lib.env`."""
    tree = ast.parse((REPOSITORY / "portal" / "settings.py").read_text())
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def test_operations_explains_every_variable() -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    rows = {name for line in text.split("\n") if line.startswith("| `") for name in
            re.findall(r"`([A-Z_]+)`", line.split("|")[1])}  # fmt: skip
    assert rows == from_environment()


def test_the_example_names_nothing_else() -> None:
    example = (REPOSITORY / ".env.example").read_text()
    assert set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)) <= from_environment()
