"""What machines ask: whether this process can serve, and what it counts."""

import asyncio
import math
import re
import threading
from datetime import timedelta

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.utils import timezone
from prometheus_client import REGISTRY
from starlette.routing import Router

from accounts.models import OutgoingMail
from billing import pulse
from billing.models import Pulse, WebhookDelivery
from portal import backlog, operations
from tests.environment import REPOSITORY

pytestmark = pytest.mark.django_db(transaction=True)


def database() -> operations.Looked[str]:
    return operations.Looked(operations.database_state, "does not answer")


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
    assert await database().found() == state


async def test_it_says_when_migrations_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "waiting_migrations", lambda: 3)
    assert await database().found() == "3 migrations wait"


async def test_strangers_cannot_make_it_write_more_than_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(pulse, "check", lambda: asked.append("writes"))
    check = database()
    assert set(await asyncio.gather(*(check.found() for _ in range(20)))) == {"ok"}
    assert await check.found() == "ok"
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
    check = database()
    try:
        said = [await check.found() for _ in range(3)]
    finally:
        answers.set()
    assert said == ["does not answer"] * 3
    assert looks == ["look"]  # threads are few: one waits, however many ask
    monkeypatch.setattr(operations, "PATIENCE_S", 10)
    assert await check.found() == "ok"


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


async def scraped() -> dict[str, float]:
    """Our metrics without their histograms' buckets, by name and labels."""
    operations._backlog._until = 0.0
    transport = httpx.ASGITransport(Router(routes=operations.routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
        text = (await client.get("/metrics")).text
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("parlance_")]
    return {name: float(value) for name, _, value in lines}


async def test_metrics_tell_of_workers_and_a_beat_that_do_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = 'parlance_jobs_waiting{kind="%s"}'
    overdue = 'parlance_jobs_overdue_seconds{kind="%s"}'
    before = await scraped()
    assert before["parlance_sweep_age_seconds"] == math.inf
    assert (before[waits % "mail"], before[overdue % "mail"]) == (0, 0)

    def leave_behind() -> None:
        long_ago = timezone.now() - timedelta(minutes=10)
        OutgoingMail.objects.create(subject="Hi", recipients=[], next_attempt_at=long_ago)
        OutgoingMail.objects.create(subject="Hi", recipients=[], sent_at=long_ago)
        WebhookDelivery.objects.create(
            event_id="evt_1", next_attempt_at=timezone.now() + timedelta(minutes=1)
        )
        pulse.beat()
        Pulse.objects.update(beat_at=long_ago)

    await sync_to_async(leave_behind)()
    found = await scraped()
    assert 590 < found[overdue % "mail"] < 700
    assert 590 < found["parlance_sweep_age_seconds"] < 700
    assert (found[waits % "mail"], found[waits % "stripe"], found[overdue % "stripe"]) == (1, 1, 0)

    monkeypatch.setattr(backlog, "read", refuse)
    unknown = await scraped()
    assert math.isnan(unknown["parlance_sweep_age_seconds"])
    assert waits % "mail" not in unknown


def test_the_docs_name_metrics_that_are_there() -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    named = set(re.findall(r"`((?:parlance|gen_ai)_[a-z_]+)", text))
    there = {metric.name for metric in REGISTRY.collect()}
    assert len(named) > 5
    assert {name.removesuffix("_total") for name in named} <= there
