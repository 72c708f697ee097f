"""Reads settings from environment variables, with an error that names the variable."""

import os
import secrets
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def text(name: str, default: str = "") -> str:
    """The variable's value, or `default` when it is unset or empty."""
    value = _as_it_stands(name)
    if len(value) > 1 and value[0] == value[-1] in "\"'" and value[0] not in value[1:-1]:
        # A shell and systemd take them away, Docker's --env-file does not.
        raise ValueError(f"{name} stands in quotes that nothing took away: leave them out")
    return value or default


def _as_it_stands(name: str) -> str:
    return os.environ.get(name, "").strip()


def flag(name: str, *, default: bool) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"{name} must be true or false, not {value!r}")


def integer(name: str, default: int, least: int = 0, most: int = 2**63 - 1) -> int:
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        raise ValueError(f"{name} must be a whole number, not {value!r}") from None
    if not least <= number <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {number}")
    return number


def choice(name: str, default: str, choices: Collection[str]) -> str:
    value = text(name, default)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return value


def parsed(name: str, default: str, parse: Callable[[str], T]) -> T:
    """What `parse` makes of the variable's value; its ValueError says what is wrong with that."""
    value = text(name, default)
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"{name} cannot be used: {error}") from None


def words(name: str, default: str = "", check: Callable[[str], str] = str) -> list[str]:
    """A comma-separated list, without empty entries.

    `check` returns each word as it is used, or raises ValueError with what is wrong with it.
    """
    found = [word.strip() for word in text(name, default).split(",") if word.strip()]
    try:
        return [check(word) for word in found]
    except ValueError as error:
        raise ValueError(f"{name} cannot be used: {error}") from None


def integers(name: str, default: str) -> list[int]:
    """A comma-separated list of numbers above 0."""
    try:
        numbers = [int(word) for word in words(name, default)]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ValueError(f"{name} must be a list of whole numbers above 0, not {text(name)!r}")
    return numbers


def pairs(name: str, check: Callable[[str], str] = str) -> list[tuple[str, str]]:
    """A list such as `llama=gpu1:50051,llama=gpu2:50051`; a key may come more than once.

    `check` returns each value, or raises ValueError with what is wrong with it.
    """
    found = []
    for word in words(name):
        key, equals, value = word.partition("=")
        if not equals or not key or not value:
            raise ValueError(f"{name} must be a list of NAME=VALUE, but holds {word!r}")
        try:
            found.append((key.strip(), check(value.strip())))
        except ValueError as error:
            raise ValueError(f"{name} cannot be used: {error}") from None
    return found


def secret(name: str, kept_in: Path, length: int = 50) -> str:
    """The variable's value, else one made once and kept in the file `kept_in` (mode 0600).

    With quotes, if it has any: a key that lost them would open nothing of what it sealed.
    """
    value = _as_it_stands(name)
    if value:
        return value
    try:
        if not kept_in.exists():
            _keep(secrets.token_urlsafe(length), kept_in)
        value = kept_in.read_text().strip()
    except OSError as error:
        raise ValueError(f"{name} cannot be kept in {kept_in}: {error.strerror}") from None
    if not value:
        raise ValueError(f"{name} is kept in {kept_in}, which is empty: put it back, or delete it")
    return value


def secrets_of(name: str) -> list[str]:
    """A comma-separated list of them, each as `secret` would give it."""
    return [word.strip() for word in _as_it_stands(name).split(",") if word.strip()]


def _keep(made: str, kept_in: Path) -> None:
    """Write the file whole or not at all; another process of the same start may be first.

    A folder that is made for it is for nobody else's eyes: passwords' hashes and mails lie in it.
    """
    kept_in.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=kept_in.parent, prefix=kept_in.name)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(made)
        with suppress(FileExistsError):
            os.link(draft, kept_in)
    finally:
        Path(draft).unlink()
