"""Reads settings from environment variables, with an error that names the variable."""

import os
import secrets
from pathlib import Path


def text(name: str, default: str = "") -> str:
    """The variable's value, or `default` when it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, *, default: bool) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"{name} must be true or false, not {value!r}")


def integer(name: str, default: int) -> int:
    value = text(name)
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{name} must be a whole number, not {value!r}") from None


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list, without empty entries."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def pairs(name: str) -> list[tuple[str, str]]:
    """A list such as `llama=gpu1:50051,llama=gpu2:50051`; a key may come more than once."""
    found = []
    for word in words(name):
        key, equals, value = word.partition("=")
        if not equals or not key or not value:
            raise ValueError(f"{name} must be a list of NAME=VALUE, but holds {word!r}")
        found.append((key, value))
    return found


def secret(name: str, kept_in: Path, length: int = 50) -> str:
    """The variable's value, else one made once and kept in the file `kept_in` (mode 0600)."""
    value = text(name)
    if value:
        return value
    if not kept_in.exists():
        kept_in.parent.mkdir(parents=True, exist_ok=True)
        made = secrets.token_urlsafe(length)
        try:
            descriptor = os.open(kept_in, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:  # another process of the same start was first
            return kept_in.read_text().strip()
        with os.fdopen(descriptor, "w") as file:
            file.write(made)
    return kept_in.read_text().strip()
