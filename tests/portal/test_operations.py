"""`/readyz`: whether this process can serve, found by reading and by writing."""

import asyncio
import threading

import pytest
from django.db import OperationalError

from billing import pulse
from portal import operations

pytestmark = pytest.mark.django_db(transaction=True)


def refuse() -> None:
    raise OperationalError


@pytest.mark.parametrize(
    ("module", "name", "state"),
    [
        (operations, "waiting_migrations", "unreachable"),
        (pulse, "check", "takes no writes"),
        (pulse, "beat", "takes no writes"),  # when nobody has swept yet
    ],
)
async def test_it_says_what_is_wrong_with_the_database(
    module: object, name: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, refuse)
    assert await operations.DatabaseCheck().state() == state


async def test_it_says_when_migrations_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "waiting_migrations", lambda: 3)
    assert await operations.DatabaseCheck().state() == "3 migrations wait"


async def test_strangers_cannot_make_it_write_more_than_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(pulse, "check", lambda: asked.append("writes"))
    check = operations.DatabaseCheck()
    assert set(await asyncio.gather(*(check.state() for _ in range(20)))) == {"ok"}
    assert await check.state() == "ok"
    assert len(asked) == 1


async def test_a_database_that_says_nothing_keeps_no_probe_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = threading.Event()
    looks = []

    def wait() -> int:
        looks.append("look")
        answers.wait()
        return 0

    monkeypatch.setattr(operations, "waiting_migrations", wait)
    monkeypatch.setattr(operations, "PATIENCE_S", 0.05)
    check = operations.DatabaseCheck()
    try:
        said = [await check.state() for _ in range(3)]
    finally:
        answers.set()
    assert said == ["does not answer"] * 3
    assert looks == ["look"]  # threads are few: one waits, however many ask
    monkeypatch.setattr(operations, "PATIENCE_S", 10)
    assert await check.state() == "ok"


def test_the_log_says_what_is_missing_when_that_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    readiness = operations.Readiness()
    well = {"database": "ok", "engine": "ok"}
    ill = {"database": "does not answer", "engine": "ok"}
    caplog.set_level("WARNING", operations.logger.name)
    for parts in (well, ill, ill, well, well):
        readiness.note(parts == well, parts)
    assert caplog.messages == ["not ready; database: does not answer", "ready again"]
