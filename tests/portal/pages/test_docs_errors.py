"""The page about errors, against the code: each `code` that the API can answer is explained."""

import ast
import re
from collections.abc import Iterator

import pytest
from django.test import Client
from rest_framework import exceptions

from tests.environment import REPOSITORY

pytestmark = pytest.mark.django_db

# Where a call that makes a refusal has its code, by the name of what is called.
PLACES = {"ServiceError": 2, "invalid": 2, "KeyRefused": 0, "_Refused": 1, "_unauthorized": 1,
          "envelope": 2}  # fmt: skip
# What Django REST framework raises by itself, or at our word.
FRAMEWORK = (
    exceptions.MethodNotAllowed,
    exceptions.NotAcceptable,
    exceptions.NotFound,
    exceptions.PermissionDenied,
    exceptions.UnsupportedMediaType,
)
# The engine and the playground have words of their own, which do not reach a client of the API.
ELSEWHERE = ("inference/engine", "inference/training", "/migrations/", "/management/")


def codes_in(tree: ast.AST) -> Iterator[str]:
    """Codes in calls, in `default_code = …`, in `code = …` and in the pairs of `rest_errors`."""
    for node in ast.walk(tree):
        found: list[ast.AST] = []
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            found = [*node.args[PLACES[name] :][:1]] if name in PLACES else []
            found += [word.value for word in node.keywords if word.arg == "code" and name in PLACES]
        elif isinstance(node, ast.Assign):
            names = {getattr(target, "id", "") for target in node.targets}
            found = [node.value] if names & {"code", "default_code"} else []
        elif isinstance(node, ast.FunctionDef) and node.name == "_words":  # of rest_errors
            pairs = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
            found = [pair.elts[1] for pair in pairs if isinstance(pair, ast.Tuple)]
        for part in found:
            yield from texts_of(part)


def texts_of(node: ast.AST) -> Iterator[str]:
    """The text, or both of an `a if … else b`."""
    if isinstance(node, ast.IfExp):
        yield from texts_of(node.body)
        yield from texts_of(node.orelse)
    elif isinstance(node, ast.Constant) and re.fullmatch(r"[a-z]+(_[a-z]+)*", str(node.value)):
        yield str(node.value)


def codes() -> set[str]:
    found = {each.default_code for each in FRAMEWORK}
    for app in ("inference", "accounts", "billing", "portal"):
        for path in (REPOSITORY / app).rglob("*.py"):
            if any(part in str(path) for part in ELSEWHERE):
                continue
            text = path.read_text()
            if "rror" in text or "Refused" in text:
                found |= set(codes_in(ast.parse(text)))
    return found


def test_every_code_is_explained_and_every_explained_code_exists(client: Client) -> None:
    page = client.get("/docs/errors.md").content.decode()
    assert {code for code in codes() if f"`{code}`" not in page} == set()
    in_tables = set(re.findall(r"^\|(?: \d+ \|)? `([a-z_]+)` \|", page, re.MULTILINE))
    assert len(in_tables) > 40
    assert in_tables - codes() == {"code"}  # the heads of the tables
