"""Settings from the environment: defaults, and errors that name the variable."""

import errno
import os
import shlex
from pathlib import Path

import pytest

from portal.lib import addresses, env


@pytest.fixture(autouse=True)
def variable(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("KNOB", raising=False)
    return monkeypatch


def test_an_empty_variable_counts_as_unset(variable: pytest.MonkeyPatch) -> None:
    variable.setenv("KNOB", "  ")
    assert env.text("KNOB", "default") == "default"
    assert env.flag("KNOB", default=True) is True
    assert env.integer("KNOB", 3) == 3
    assert env.words("KNOB", "a, b") == ["a", "b"]
    assert env.pairs("KNOB") == []


@pytest.mark.parametrize("value", ['"https://example.com"', "'x'"])
def test_quotes_that_nothing_took_away_are_no_part_of_a_value(
    variable: pytest.MonkeyPatch, value: str
) -> None:
    variable.setenv("KNOB", value)
    for read in (lambda: env.text("KNOB"), lambda: env.parsed("KNOB", "", str)):
        with pytest.raises(ValueError, match=r"^KNOB stands in quotes"):
            read()
    for other in ('"Acme, Inc." <a@example.com>', '"a b" "c"', '"'):
        variable.setenv("KNOB", other)
        assert env.text("KNOB") == other


def test_quotes_are_a_part_of_a_key_that_has_sealed_with_them(
    variable: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variable.setenv("KNOB", '"a key"')
    assert env.secret("KNOB", tmp_path / "key") == '"a key"'
    assert env.secrets_of("KNOB") == ['"a key"']
    variable.setenv("KNOB", '"a key", another')
    assert env.secrets_of("KNOB") == ['"a key"', "another"]


def test_a_default_keeps_to_limits_that_others_moved() -> None:
    with pytest.raises(ValueError, match="KNOB must be from 20 to 30, not 10"):
        env.integer("KNOB", 10, 20, 30)


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("OFF", False), ("1", True)])
def test_it_reads_flags(variable: pytest.MonkeyPatch, word: str, value: bool) -> None:
    variable.setenv("KNOB", word)
    assert env.flag("KNOB", default=not value) is value


def test_it_reads_pairs_with_repeated_names(variable: pytest.MonkeyPatch) -> None:
    variable.setenv("KNOB", "a=h:1,a = h:2, b=unix:/x=y")
    assert env.pairs("KNOB") == [("a", "h:1"), ("a", "h:2"), ("b", "unix:/x=y")]


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda: env.flag("KNOB", default=True), "maybe"),
        (lambda: env.integer("KNOB", 1), "1.5"),
        (lambda: env.integer("KNOB", 1), "-1"),
        (lambda: env.integer("KNOB", 8000, 1, 65_535), "65536"),
        (lambda: env.integers("KNOB", "1"), "5,x"),
        (lambda: env.integers("KNOB", "1"), "5,0"),
        (lambda: env.choice("KNOB", "auto", ("auto", "cpu")), "gpu"),
        (lambda: env.parsed("KNOB", "", shlex.split), "--a 'b"),
        (lambda: env.pairs("KNOB"), "no-equals"),
        (lambda: env.pairs("KNOB", addresses.engine), "name=no-port"),
        (lambda: env.pairs("KNOB"), "=address"),
    ],
)
def test_a_bad_value_names_the_variable(
    variable: pytest.MonkeyPatch, read: object, value: str
) -> None:
    variable.setenv("KNOB", value)
    with pytest.raises(ValueError, match="KNOB"):
        read()  # type: ignore[operator]


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    kept_in = tmp_path / "deep" / "secret"
    made = env.secret("KNOB", kept_in)
    assert len(made) >= 50
    assert env.secret("KNOB", kept_in) == made
    assert kept_in.stat().st_mode & 0o777 == 0o600
    assert kept_in.parent.stat().st_mode & 0o777 == 0o700


def test_a_secret_that_was_never_written_is_not_used(tmp_path: Path) -> None:
    kept_in = tmp_path / "secret"
    kept_in.touch()
    with pytest.raises(ValueError, match=r"KNOB is kept in .*, which is empty"):
        env.secret("KNOB", kept_in)


def test_a_secret_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", full)
        with pytest.raises(ValueError, match=r"^KNOB cannot be kept in .*: No space left"):
            env.secret("KNOB", tmp_path / "secret")
    assert list(tmp_path.iterdir()) == []
    assert len(env.secret("KNOB", tmp_path / "secret")) >= 50


def test_a_secret_from_the_environment_wins(variable: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variable.setenv("KNOB", "given")
    assert env.secret("KNOB", tmp_path / "secret") == "given"
    assert not (tmp_path / "secret").exists()
    assert os.environ["KNOB"] == "given"
