"""Leases end by a clock of the database's own, whatever the time of day is said to be."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from accounts.models import Organisation
from billing import ledger, pulse, tasks
from billing.models import Hold, Pulse
from tests.billing.money import audit_is_clean, beats, hold

HOUR = timedelta(hours=1)


@pytest.fixture
def org(organisation: Organisation) -> str:
    pulse.beat()
    return organisation.pk


def turn(patch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    right = timezone.now
    patch.setattr(timezone, "now", lambda: right() + ahead)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, timedelta(0)])
def test_a_lease_lasts_its_beats_and_no_longer(
    org: str, ahead: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold("r1", org, 1000)
    turn(monkeypatch, ahead)
    beats(3)
    assert ledger.sweep() == 0
    assert ledger.renew_leases("web1", ["r1"]) == 1
    beats(3)
    assert ledger.sweep() == 0
    beats(1)
    assert ledger.sweep() == 1
    audit_is_clean()


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_hold_of_a_process_with_a_wrong_clock_lasts_as_long(org: str, ahead: timedelta) -> None:
    with pytest.MonkeyPatch.context() as patch:
        turn(patch, ahead)
        hold("r1", org, 1000)
    beats(3)
    assert ledger.sweep() == 0
    beats(1)
    assert ledger.sweep() == 1


def test_a_lease_that_is_renewed_while_the_sweep_looks_is_kept(org: str) -> None:
    hold("r1", org, 10)
    beats(4)
    ledger.renew_leases("web1", ["r1"])
    assert not ledger._release("r1")
    assert Hold.objects.get().state == "open"


def test_sweeps_that_piled_up_are_one_beat(org: str) -> None:
    beats(1)
    before = pulse.number()
    for _ in range(10):
        tasks.sweep_holds()
    assert pulse.number() == before


def test_it_goes_on_at_once_when_the_clock_was_turned_back(
    org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pulse.number()
    turn(monkeypatch, -HOUR)
    pulse.beat()
    assert pulse.number() == before + 1
    pulse.beat()
    assert pulse.number() == before + 1


def test_no_lease_ends_while_nothing_can_be_written(
    org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else, when there is room again, the sweep would be faster than some renewals."""

    def disk_is_full() -> None:
        raise OperationalError("database or disk is full")

    hold("r1", org, 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulse, "beat", disk_is_full)
        for _ in range(10):
            Pulse.objects.update(beat_at=timezone.now() - HOUR)
            tasks.sweep_holds()
    tasks.sweep_holds()
    assert Hold.objects.get().state == "open"


def test_of_sweeps_that_waited_together_one_is_a_beat(
    org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All looked before any could write, and each has waited long enough to be due."""
    beats(1)
    seen = pulse.number()
    beats(1)
    Pulse.objects.update(beat_at=timezone.now() - HOUR)
    monkeypatch.setattr(pulse, "number", lambda: seen)
    pulse.beat()
    assert Pulse.objects.get().number == seen + 1


def test_who_looks_before_the_first_sweep_can_tell_whether_writing_works(
    organisation: Organisation,
) -> None:
    Pulse.objects.all().delete()
    pulse.check()
    begun = Pulse.objects.get()
    pulse.check()
    checked = Pulse.objects.get()
    assert checked.checked_at is not None
    assert (checked.number, checked.beat_at) == (begun.number, begun.beat_at), "it is no beat"
