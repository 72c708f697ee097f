"""The C code is compiled where it runs, and not missed where it cannot be."""

import logging
import os
import platform
import subprocess
from pathlib import Path

import pytest

from inference.engine.native.compiler import FLAGS, SOURCES, load_library


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
    assert "no-such-compiler" in caplog.text


def test_a_user_without_a_home_is_told_of_it_and_not_of_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "no-folder").touch()
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "no-folder"))
    with caplog.at_level(logging.WARNING):
        assert load_library() is None
    assert str(tmp_path / "no-folder") in caplog.text
    assert "no C compiler" not in caplog.text


def test_a_user_whom_the_machine_does_not_know_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)
    with caplog.at_level(logging.WARNING):
        assert load_library() is None
    assert "home directory" in caplog.text


def test_a_broken_compiler_is_quoted_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo 1 && exit 0\necho no libgomp >&2\nexit 1\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with caplog.at_level(logging.WARNING):
        assert load_library() is None
    assert "no libgomp" in caplog.text
    assert not list((tmp_path / "cache").rglob("*.so"))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have other names")
@pytest.mark.parametrize("processor", ["x86-64-v2", "x86-64-v3", "sapphirerapids"])
def test_vectors_are_as_wide_as_the_registers(processor: str, tmp_path: Path) -> None:
    """Wider ones compile, too, and are kept in memory: prompts took thirty times as long.

    GCC only tells by the warning that others would pass such a vector in another way.
    """
    other = {"-march=native": f"-march={processor}", "-O3": "-O1"}
    flags = [other.get(flag, flag) for flag in FLAGS]
    command = ["cc", *flags, "-Wall", "-Werror", *map(str, SOURCES), "-o", str(tmp_path / "out.so")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")
