"""Reads Stripe's form encoding and checks it against the parameter types of stripe-python.

The types are TypedDicts; every value arrives as text, so a number is digits and a flag `true` or
`false`.
"""

import sys
from types import UnionType
from typing import Any, ForwardRef, Literal, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import is_typeddict

# What stripe-python itself takes out of the parameters: options of the call.
OPTIONS = {
    "api_key", "content_type", "headers", "idempotency_key", "max_network_retries",
    "stripe_account", "stripe_context", "stripe_version",
}  # fmt: skip


def decode(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """`a[0][b]=1` as `{"a": [{"b": "1"}]}`."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        *path, last = name.replace("]", "").split("[")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return {name: _lists(value) for name, value in tree.items()}


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    plain = {name: _lists(value) for name, value in node.items()}
    if plain and all(name.isdigit() for name in plain):
        return [plain[name] for name in sorted(plain, key=int)]
    return plain


def check_parameters(parameters: dict[str, Any], kind: type) -> None:
    """Raise ValueError, naming the field, for what stripe-python's type does not have."""
    if problem := _problem(parameters, kind, sys.modules[kind.__module__].__dict__, ""):
        raise ValueError(problem)


def _problem(value: Any, hint: Any, names: dict[str, Any], path: str) -> str:
    """What is wrong with the value, or nothing."""
    if isinstance(hint, str | ForwardRef):
        text = hint if isinstance(hint, str) else hint.__forward_arg__
        return _problem(value, eval(text, names), names, path)
    if is_typeddict(hint):
        return _problem_in_dict(value, hint, path)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {NotRequired, Required}:
        return _problem(value, arguments[0], names, path)
    if origin in {Union, UnionType}:
        problems = [_problem(value, each, names, path) for each in arguments]
        return "" if "" in problems else max(problems, key=len)
    if origin is Literal:
        return "" if value in arguments else f"Invalid {path}: must be one of {arguments}"
    if origin is list:
        if not isinstance(value, list):
            return "" if value == "" else f"Invalid array: {path}"
        found = (
            _problem(each, arguments[0], names, f"{path}[{at}]") for at, each in enumerate(value)
        )
        return next(filter(None, found), "")
    if origin is dict:
        return "" if isinstance(value, dict) else f"Invalid object: {path}"
    return _problem_in_text(value, hint, path)


def _problem_in_dict(value: Any, kind: Any, path: str) -> str:
    if not isinstance(value, dict):
        return f"Invalid object: {path}"
    names = sys.modules[kind.__module__].__dict__
    fields = {name: each for name, each in kind.__annotations__.items() if name not in OPTIONS}
    if unknown := value.keys() - fields.keys():
        return f"Received unknown parameters: {', '.join(_at(path, each) for each in unknown)}"
    if missing := (kind.__required_keys__ & fields.keys()) - value.keys():
        return f"Missing required param: {', '.join(_at(path, each) for each in missing)}"
    found = (_problem(each, fields[name], names, _at(path, name)) for name, each in value.items())
    return next(filter(None, found), "")


def _problem_in_text(value: Any, hint: Any, path: str) -> str:
    if not isinstance(value, str):
        return f"Invalid value: {path}"
    if hint is int and not value.removeprefix("-").isdigit():
        return f"Invalid integer: {path}"
    if hint is bool and value not in {"true", "false"}:
        return f"Invalid boolean: {path}"
    return ""


def _at(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name
