"""The time of engines: only while a process is there, booked once a minute, never lost."""

from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError

from inference import margins
from inference.models import EngineTime
from portal.serving.engine_meter import EngineMeter
from portal.serving.engine_process import EngineProcess

pytestmark = pytest.mark.django_db


@pytest.fixture
def engines() -> list[EngineProcess]:
    """Two of `a` that run and one of `b` that does not."""
    found = [EngineProcess(model, [], "unix:x", Path("log")) for model in ("a", "a", "b")]
    process: Any = object()
    found[0].process = found[1].process = process
    return found


def booked() -> dict[str, int]:
    return dict(EngineTime.objects.values_list("model", "milliseconds"))


def test_it_counts_what_runs_and_books_it_once_a_minute(engines: list[EngineProcess]) -> None:
    now = [0.0]
    meter = EngineMeter(lambda: now[0])
    for now[0] in (2.0, 30.0, 59.0):
        meter.look(engines)
    assert booked() == {}
    now[0] = 60.0
    meter.look(engines)
    assert booked() == {"a": 120_000}
    engines[1].process = None
    now[0] = 61.5
    meter.look(engines)
    meter.book()
    assert booked() == {"a": 121_500}


def test_a_database_that_is_away_loses_nothing(
    engines: list[EngineProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    meter = EngineMeter(lambda: now[0])

    def away(*_args: object) -> None:
        raise DatabaseError

    with monkeypatch.context() as broken:
        broken.setattr(margins, "add_engine_time", away)
        now[0] = 100.0
        meter.look(engines)
    assert booked() == {}
    meter.book()
    assert booked() == {"a": 200_000}
