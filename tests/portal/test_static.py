"""Static files are collected when there is something new, and without what nobody asks for."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.staticfiles.finders import get_finders
from pytest_django.fixtures import Settings

from portal import static


@pytest.fixture
def source(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only static file there is."""
    (tmp_path / "collected").mkdir()
    folder = tmp_path / "sources"
    folder.mkdir()
    settings.STATIC_ROOT = tmp_path / "collected"
    settings.STATICFILES_DIRS = [folder]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    (folder / "page.css").write_text("p { color: red }")
    return folder / "page.css"


@pytest.fixture
def collections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    monkeypatch.setattr(static, "call_command", lambda name, **_: made.append(name))
    return made


def test_what_was_collected_is_collected_again_when_a_source_changes(
    source: Path, collections: list[str]
) -> None:
    static.collect()
    static.collect()
    assert collections == ["collectstatic"]
    source.write_text("p { color: blue; }")
    static.collect()
    static.collect()
    assert len(collections) == 2
    os.utime(source, ns=(1, 1))
    static.collect()
    assert len(collections) == 3
    (source.parent / "other.css").write_text("")
    static.collect()
    assert len(collections) == 4


def test_a_collection_that_fails_is_tried_again(
    source: Path, monkeypatch: pytest.MonkeyPatch, collections: list[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(static, "call_command", fail)
        with pytest.raises(OSError, match="disk full"):
            static.collect()
    static.collect()
    assert collections == ["collectstatic"]


def test_what_a_broken_collection_cut_short_is_whole_after_the_next(
    source: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected = Path(settings.STATIC_ROOT) / source.name

    def break_off(*_: Any, **__: Any) -> None:
        collected.write_text("p {")
        raise OSError("disk full")

    static.collect()
    source.write_text("p { color: blue; }")
    with monkeypatch.context() as patch:
        patch.setattr(static, "call_command", break_off)
        with pytest.raises(OSError, match="disk full"):
            static.collect()
    static.collect()
    assert collected.read_text() == source.read_text()


def test_neither_source_maps_nor_other_peoples_pages_are_served() -> None:
    config: Any = apps.get_app_config("staticfiles")
    ignored = config.ignore_patterns
    names = [name for finder in get_finders() for name, _ in finder.list(ignored)]
    assert any(name.startswith("drf_spectacular_sidecar/swagger-ui") for name in names)
    assert not [name for name in names if name.endswith(".map")]
    assert not [name for name in names if "redoc" in name or name.startswith("rest_framework/")]
