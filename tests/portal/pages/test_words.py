"""Every code that a usage record can hold has words."""

import ast
from collections.abc import Iterator
from typing import get_args, get_type_hints

from billing.ledger import CapReached
from inference import errors
from inference.generation import SequenceState
from portal.pages import words
from tests.environment import REPOSITORY

SOURCES = [*(REPOSITORY / "inference").glob("*.py"), REPOSITORY / "billing" / "ledger.py"]
ENDS = {"end", "stop_when_used_up"}  # the calls that give a generation its error


def names_of_errors(node: ast.AST) -> Iterator[str]:
    """NAME of every `errors.NAME` below a node."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and getattr(each.value, "id", "") == "errors":
            yield each.attr


def codes_that_end_a_generation() -> set[str]:
    """What `errors` calls the refusals in `.end(…)`, and what records are given as `error="…"`."""
    refusals: dict[str, list[object]] = {
        "failed_in_engine": ["why", "req_1"], "crashed": ["req_1"], "overloaded": ["full"],
        "spend_cap_reached": [CapReached("key", 5, 3, 2), 1],
    }  # fmt: skip
    codes = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            if getattr(node.func, "attr", "") in ENDS:
                for name in names_of_errors(node):
                    options = {"begun": True} if name == "out_of_time" else {}
                    codes.add(getattr(errors, name)(*refusals.get(name, []), **options).code)
            for keyword in node.keywords:
                if keyword.arg == "error" and isinstance(keyword.value, ast.Constant):
                    codes.add(keyword.value.value)
    return codes - {""}


def test_every_error_of_a_request_has_words() -> None:
    found = codes_that_end_a_generation()
    assert {"engine_lost", "insufficient_quota", "web_process_lost"} <= found
    assert found == words.ERRORS.keys()


def test_every_finish_reason_has_words() -> None:
    [reasons, _none] = get_args(get_type_hints(SequenceState)["finish_reason"])
    assert set(get_args(reasons)) == words.FINISH_REASONS.keys()
