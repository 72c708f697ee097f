"""Parses JSON from strangers: strictly, within limits, in linear time.

The standard parser accepts NaN, keeps the last of duplicate keys, lets lone surrogates and NUL
through and recurses as deep as the text nests. This module refuses all of that with a sentence
and, where a field can be named, its path (`messages[0].content`).
"""

import codecs
import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

MAX_NESTING = 64
MAX_KEYS = 10_000
MAX_CONTAINERS = 20_000  # arrays and objects: they cost a hundred times their two bytes
# That commas part: token ids, above all. An encoder is given 300,000 at most in one request, and to
# read and check a million takes a fifth of a second in which nobody else is served.
MAX_VALUES = 400_000

# A string, or the rest of the text when it never ends: so that every quote is looked at once.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_BRACKETS_ONLY = bytes(set(range(256)) - set(b"[]{}"))
_CONSTANT = re.compile(rb"NaN|Infinity")
# Which escapes make the walk over all strings necessary.
_DOUBTFUL_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]|[^\s\[\]{},:"]++', re.DOTALL)
# Naming the field of a refused body is a courtesy; it looks at this much of it.
_NAMED_PREFIX = 100_000


class StrictJSONError(ValueError):
    """The text is refused; `param` is the path of the field, None when it has none."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw` (UTF-8). Raises StrictJSONError for anything else."""
    value = parse(raw)
    if not isinstance(value, dict):
        raise StrictJSONError("The body must be a JSON object.")
    return value


def parse(raw: bytes) -> Any:
    """The JSON value in `raw` (UTF-8). Raises StrictJSONError."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"The body is not UTF-8: byte {error.start} is wrong."
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            message = "The body is UTF-16: send UTF-8."
        raise StrictJSONError(message) from None
    _check_structure(raw, text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        what = error.msg.lower().removesuffix(" at")
        message = f"The body is not JSON: {what} at character {error.pos}."
        if not text.strip():
            message = "The body is empty."
        elif text.startswith("\ufeff"):  # Windows' editors and shells write one into files
            message = "The body begins with a byte order mark: send UTF-8 without one."
        raise StrictJSONError(message, _path_at(text, error.pos)) from None
    except RecursionError:
        raise _too_deep() from None
    except _OutOfRangeError as error:
        message = f"The number {str(error)[:40]} is out of range."
        raise StrictJSONError(message, _path_of(text, str(error))) from None
    except ValueError as error:
        if isinstance(error, StrictJSONError):
            raise
        raise StrictJSONError("The body holds a number with too many digits.") from None
    if _DOUBTFUL_ESCAPE.search(raw):
        _check_strings(value, "")
    return value


def _check_structure(raw: bytes, text: str) -> None:
    """Refuse what nests too deep, has too many keys, or holds NaN or Infinity."""
    if _is_harmless(raw):
        return
    bare = _STRING.sub(b'""', raw)
    if bare.count(b":") > MAX_KEYS:
        raise StrictJSONError(f"The body has more than {MAX_KEYS:,} keys.")
    if bare.count(b",") >= MAX_VALUES:
        raise StrictJSONError(f"The body has more than {MAX_VALUES:,} values.")
    num_containers = bare.count(b"[") + bare.count(b"{")
    if num_containers > MAX_CONTAINERS:
        raise StrictJSONError(f"The body has more than {MAX_CONTAINERS:,} arrays and objects.")
    if num_containers > MAX_NESTING:
        # More brackets than these close what was never opened: that is found by the parser.
        brackets = bare.translate(None, delete=_BRACKETS_ONLY)[: 2 * MAX_CONTAINERS]
        for _ in range(MAX_NESTING):
            # Each round removes every innermost pair.
            brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if b"[]" in brackets or b"{}" in brackets:
            raise _too_deep()
    found = _CONSTANT.search(bare)
    if found:
        name = found.group().decode()
        raise StrictJSONError(f"{name} is not a JSON number.", _path_of(text, name, f"-{name}"))


def _is_harmless(raw: bytes) -> bool:
    """Whether nothing could be refused even if all of it stood outside of strings.

    As of nearly every body; to take the strings out takes ten times as long as to parse it.
    """
    return (
        raw.count(b":") <= MAX_KEYS
        and raw.count(b",") < MAX_VALUES
        and raw.count(b"[") + raw.count(b"{") <= MAX_NESTING
        and b"NaN" not in raw
        and b"Infinity" not in raw
    )


def _too_deep() -> StrictJSONError:
    return StrictJSONError(f"The body nests deeper than {MAX_NESTING} levels.")


class _OutOfRangeError(ValueError):
    pass


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _OutOfRangeError(text)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _value in pairs:
            if key in seen:
                named = _printable(key)
                raise StrictJSONError(f"The key {named!r} comes twice in one object.", named)
            seen.add(key)
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float)


def _check_strings(value: Any, path: str) -> None:
    """Refuse NUL and lone surrogates in any key or string; depth is bounded by MAX_NESTING."""
    if isinstance(value, str):
        _check_string(value, path)
    elif isinstance(value, dict):
        for key, member in value.items():
            _check_string(key, path)
            _check_strings(member, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            if isinstance(member, str | list | dict):
                _check_strings(member, f"{path}[{index}]")


def _check_string(value: str, path: str) -> None:
    param = _printable(path) or None
    if "\0" in value:
        raise StrictJSONError("A string holds the character NUL.", param)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise StrictJSONError("A string holds half of a surrogate pair.", param) from None


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:200]


def _path_of(text: str, *lexemes: str) -> str | None:
    """The path of the first value that is written as one of `lexemes`."""
    return next((path for _at, lexeme, path in _walk(text) if lexeme in lexemes), None)


def _path_at(text: str, position: int) -> str | None:
    """The path of the value at or before `position`."""
    last = None
    for at, _lexeme, path in _walk(text):
        if at > position:
            break
        last = path
    return last


def _walk(text: str) -> Iterator[tuple[int, str, str | None]]:
    """Each lexeme with its position and the path of the value it belongs to; never raises."""
    stack: list[str | int | None] = []  # per open bracket: a key, an index, or None before a key
    for match in _TOKEN.finditer(text, 0, _NAMED_PREFIX):
        lexeme = match.group()
        yield match.start(), lexeme, spell_path(stack) or None
        if lexeme == "{":
            stack.append(None)
        elif lexeme == "[":
            stack.append(0)
        elif lexeme in "]}":
            if stack:
                stack.pop()
        elif lexeme == ",":
            if stack:
                top = stack[-1]
                stack[-1] = top + 1 if isinstance(top, int) else None
        elif lexeme[0] == '"' and stack and stack[-1] is None:
            stack[-1] = lexeme[1:-1]


def spell_path(parts: Iterable[str | int | None]) -> str:
    """`messages[0].content` of ("messages", 0, "content"); what has no name yet is left out."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part is not None:
            path += f".{part}" if path else part
    return _printable(path)
