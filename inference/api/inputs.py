"""The `input` of endpoints that encode: parsed strictly, refused by the place where it is wrong."""

from typing import Any

from inference.errors import ServiceError, invalid
from inference.spec import TextPrompt, TokenPrompt

MAX_INPUTS = 2048
Input = TextPrompt | TokenPrompt


def read_inputs(value: Any, *, ids_allowed: bool) -> tuple[Input, ...]:
    """A string or a list of strings; where allowed, a list of ids or a list of lists of ids too."""
    if isinstance(value, str):
        return (_text(value, "input"),)
    if not isinstance(value, list):
        raise _wrong_type("input", ids_allowed)
    if not value:
        raise _empty("input")
    if ids_allowed and type(value[0]) is int:
        return (_ids(value, "input"),)
    if len(value) > MAX_INPUTS:
        message = f"'input' has {len(value):,} inputs; at most {MAX_INPUTS:,} fit into a request."
        raise invalid(message, "input", "invalid_value")
    read = _text if isinstance(value[0], str) or not ids_allowed else _ids
    return tuple(read(each, f"input[{index}]") for index, each in enumerate(value))


def is_listed(value: Any) -> bool:
    """Whether there are several inputs, in what `read_inputs` has read."""
    return isinstance(value, list) and type(value[0]) is not int


def _text(value: Any, param: str) -> TextPrompt:
    if not isinstance(value, str):
        raise invalid(
            f"Invalid type for '{param}': it must be a string, as the others.",
            param,
            "invalid_type",
        )
    if not value:
        raise _empty(param)
    return TextPrompt(value)


def _ids(value: Any, param: str) -> TokenPrompt:
    if not isinstance(value, list):
        raise _wrong_type(param, ids_allowed=True)
    if not value:
        raise _empty(param)
    for index, token_id in enumerate(value):
        # By type: a boolean is an int in Python.
        if type(token_id) is not int or not 0 <= token_id < 2**31:
            raise invalid(
                f"Invalid type for '{param}[{index}]': it must be a token id.",
                f"{param}[{index}]",
                "invalid_type",
            )
    return TokenPrompt(tuple(value))


def _empty(param: str) -> ServiceError:
    return invalid(f"Invalid value for '{param}': it is empty.", param, "invalid_value")


def _wrong_type(param: str, ids_allowed: bool) -> ServiceError:
    shapes = "a string or a list of strings"
    if ids_allowed:
        shapes = "a string, a list of strings, a list of token ids or a list of lists of token ids"
    return invalid(f"Invalid type for '{param}': 'input' is {shapes}.", param, "invalid_type")
