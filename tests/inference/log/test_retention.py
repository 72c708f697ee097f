"""Retention: what is over goes, what is not stays, and the bill is never touched."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Model
from django.utils import timezone

from accounts.models import Organisation, User
from billing.models import UsageRecord
from inference.log import bodies, replays, retention
from inference.log.bodies import Bodies
from inference.log.replays import Answer
from inference.models import KeptBodies, KeyedRequest, RequestMetadata
from inference.tasks import BEAT_SCHEDULE, delete_what_is_over
from portal.celery import app
from tests.portal.records import make_record


def keep(organisation: Organisation, request_id: str, *, age_days: float) -> None:
    """A body and a pair of that age."""
    created_at = timezone.now() - timedelta(days=age_days)
    bodies.keep(organisation.id, request_id, Bodies(b"q", b"a", 1, 1))
    KeptBodies.objects.filter(pk=request_id).update(created_at=created_at)
    RequestMetadata.objects.create(
        organisation=organisation, request_id=request_id, key="k", value="v", created_at=created_at
    )


def ids(model: type[Model]) -> set[Any]:
    return set(model._default_manager.values_list("request_id", flat=True))


def test_each_kind_goes_when_its_own_time_is_over(keeper: Organisation) -> None:
    for days in (0, 6.9, 7.1, 13.9, 14.1):
        keep(keeper, f"req_{days}", age_days=days)
    assert retention.delete_what_is_over() == 4
    assert ids(KeptBodies) == {"req_0", "req_6.9"}
    assert ids(RequestMetadata) == {"req_0", "req_6.9", "req_7.1", "req_13.9"}
    assert retention.delete_what_is_over() == 0


def test_each_organisation_has_its_own_time(keeper: Organisation, charlie: User) -> None:
    other = charlie.memberships.get().organisation
    Organisation.objects.filter(pk=other.pk).update(keeps_bodies=True, body_retention_days=365)
    keep(keeper, "req_mine", age_days=10)
    keep(other, "req_theirs", age_days=10)
    retention.delete_what_is_over()
    assert ids(KeptBodies) == {"req_theirs"}


def test_a_shorter_time_also_holds_for_what_is_there(keeper: Organisation) -> None:
    keep(keeper, "req_1", age_days=3)
    retention.delete_what_is_over()
    Organisation.objects.update(body_retention_days=2, metadata_retention_days=2)
    retention.delete_what_is_over()
    assert not ids(KeptBodies) | ids(RequestMetadata)


def test_who_keeps_no_more_keeps_nothing(keeper: Organisation) -> None:
    keep(keeper, "req_1", age_days=0)
    Organisation.objects.update(keeps_bodies=False)
    retention.delete_what_is_over()
    assert (ids(KeptBodies), ids(RequestMetadata)) == (set(), {"req_1"})


def test_a_backlog_of_several_batches_goes_at_once(
    keeper: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    for number in range(8):
        keep(keeper, f"req_{number}", age_days=20)
    assert retention.delete_what_is_over() == 16
    assert not ids(KeptBodies) | ids(RequestMetadata)


def test_answers_of_keys_go_after_their_day_and_running_ones_stay(keeper: Organisation) -> None:
    now = timezone.now()
    hour = timedelta(hours=1)
    claims = {
        name: replays.claim(replays.asked(keeper.id, name, "/v1", b"", name))
        for name in ("young", "old", "old and running")
    }
    for name in ("young", "old"):
        ours = claims[name]
        assert isinstance(ours, replays.Ours)
        replays.keep(ours, Answer({}, b"text"))
    assert retention.delete_what_is_over() == 0
    mine = KeyedRequest.objects
    mine.filter(request_id__startswith="old").update(expires_at=now - hour)
    mine.filter(request_id="old").update(lease=0)
    assert retention.delete_what_is_over() == 1
    assert ids(KeyedRequest) == {"young", "old and running"}


def test_usage_records_stay(keeper: Organisation) -> None:
    make_record(keeper, at=timezone.now() - timedelta(days=3000))
    keep(keeper, "req_1", age_days=3000)
    delete_what_is_over()
    assert UsageRecord.objects.count() == 1
    assert not ids(KeptBodies)


def test_beat_runs_it_within_the_promised_hour() -> None:
    entry = BEAT_SCHEDULE["delete-what-is-over"]
    assert entry["task"] == delete_what_is_over.name
    assert entry["task"] in app.tasks
    assert app.conf.beat_schedule["delete-what-is-over"]["schedule"] <= 3600
