"""The C code is compiled where it runs, and not missed where it cannot be."""

import logging
from pathlib import Path

import pytest

from inference.engine.native.compiler import load_library


def test_it_is_compiled_once_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_library() is not None
    (made,) = tmp_path.rglob("*.so")
    changed = made.stat().st_mtime_ns
    assert load_library() is not None
    assert made.stat().st_mtime_ns == changed


def test_without_a_compiler_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    with caplog.at_level(logging.WARNING):
        assert load_library() is None
    assert "models run slower" in caplog.text


def test_a_broken_compiler_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 1 && exit 0\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert load_library() is None
    assert not list((tmp_path / "cache").rglob("*.so"))
