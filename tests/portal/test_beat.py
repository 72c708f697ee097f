"""Jobs go on when the clock was put right while they ran."""

from datetime import UTC, datetime, timedelta

import pytest

from portal import beat
from portal.celery import app

HOUR = timedelta(hours=1)


class Clock:
    """That celery reads."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.shows = datetime(2026, 5, 5, 12, tzinfo=UTC)
        patch.setattr(app, "now", lambda: self.shows)

    def go_on(self, seconds: float) -> None:
        self.shows += timedelta(seconds=seconds)


class Recorder(beat.SteadyScheduler):
    producer = None

    def __init__(self) -> None:
        super().__init__(app)
        self.ran: list[str] = []

    def apply_entry(self, entry: object, producer: object = None) -> None:
        self.ran.append(entry.name)  # type: ignore[attr-defined]

    def run_what_is_due(self) -> list[str]:
        self.ran = []
        while self.tick() == 0:
            pass
        return self.ran


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_the_sweep_goes_on_after_the_clock_was_turned(
    jump: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    scheduler = Recorder()
    assert scheduler.run_what_is_due() == []
    clock.go_on(6)
    assert scheduler.run_what_is_due() == ["sweep-holds"]
    clock.shows += jump
    scheduler.run_what_is_due()
    for _ in range(2):
        clock.go_on(6)
        assert scheduler.run_what_is_due() == ["sweep-holds"]


def test_so_does_what_has_its_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    scheduler = Recorder()
    clock.shows -= 10 * HOUR
    scheduler.run_what_is_due()
    clock.go_on(3600)
    assert "reconcile" not in scheduler.run_what_is_due()
    clock.go_on(1500)
    assert "reconcile" in scheduler.run_what_is_due()
