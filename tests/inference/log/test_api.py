"""The management API of the request log: filters, pages, and nobody else's requests."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey, Organisation
from billing.models import Outcome
from inference.log import bodies, metadata
from inference.log.bodies import Bodies
from tests.management import Program
from tests.portal.records import make_record


def listed(program: Program, query: str = "") -> Any:
    return Client().get(f"{reverse('api_requests')}?{query}", headers=program.headers)


def ids(program: Program, query: str = "") -> list[str]:
    return [row["id"] for row in listed(program, query).json()["results"]]


def test_one_is_read_with_what_is_kept_of_it(manager: Program, organisation: Organisation) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(keeps_bodies=True)
    record = make_record(organisation, waived_tokens=1)
    metadata.note(organisation.id, record.request_id, {"job": "nightly"})
    bodies.keep(organisation.id, record.request_id, Bodies(b"q", "é".encode()[:1], 1, 2))
    found = manager("get", "api_request", args=[record.request_id]).json()
    assert found["metadata"] == {"job": "nightly"}
    assert found["bodies"] == {
        "request": "q", "answer": "\ufffd", "request_bytes": 1, "answer_bytes": 2,
    }  # fmt: skip
    assert found["price"]["output_nanos_per_mtok"] == record.price.output_nanos_per_mtok
    assert (found["prompt_tokens"], found["cached_tokens"], found["output_tokens"]) == (120, 20, 30)
    assert (found["cost_nanos"], found["cost"]) == (record.cost_nanos, "0.000023")
    assert (found["status"], found["waived_tokens"]) == ("finished", 1)
    [row] = listed(manager).json()["results"]
    assert {**row, "bodies": found["bodies"]} == found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "old tagged failed"),
        ("model=starter", "old tagged failed"),
        ("model=other", ""),
        ("status=failed", "failed"),
        ("metadata=job=nightly", "tagged"),
        ("metadata=job=nightly&metadata=team=a%3Db", "tagged"),
        ("metadata=job=nightly&metadata=team=c", ""),
        ("since=HOUR", "tagged failed"),
        ("until=HOUR", "old"),
        ("since=HOUR&status=finished", "tagged"),
        ("api_key_id=KEY", "tagged"),
    ],
)
def test_filters(
    manager: Program,
    organisation: Organisation,
    api_key: tuple[ApiKey, str],
    query: str,
    expected: str,
) -> None:
    hour_ago = timezone.now() - timedelta(hours=1)
    made = {
        "old": make_record(organisation, at=hour_ago - timedelta(hours=1)),
        "tagged": make_record(organisation, api_key_id=api_key[0].pk),
        "failed": make_record(organisation, outcome=Outcome.FAILED),
    }
    pairs = {"job": "nightly", "team": "a=b"}
    metadata.note(organisation.id, made["tagged"].request_id, pairs)
    query = query.replace("HOUR", f"{hour_ago:%Y-%m-%dT%H:%M:%SZ}")
    query = query.replace("KEY", str(api_key[0].pk))
    assert set(ids(manager, query)) == {made[name].request_id for name in expected.split()}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=paid", "status"), ("since=yesterday", "since"), ("api_key_id=1", "api_key_id"),
        ("metadata=nightly", "metadata"), ("metadata=a=" + "b" * 600, "metadata"),
        ("modle=starter", "modle"), ("model=a%00", "model"), ("model=" + "m" * 201, "model"),
        ("metadata=a=b&" * 17, "metadata"), ("until=", "until"), ("model=", "model"),
        ("until=9999-12-31T23:59:59-12:00", "until"),
    ],
)  # fmt: skip
def test_a_bad_filter_is_named(manager: Program, query: str, field: str) -> None:
    answer = listed(manager, query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].partition("[")[0] == field


def test_pages_hold_each_request_once(manager: Program, organisation: Organisation) -> None:
    for _ in range(105):
        record = make_record(organisation)
        metadata.note(organisation.id, record.request_id, {"job": "n"})
    first = listed(manager, "metadata=job=n").json()
    second = Client().get(first["next"], headers=manager.headers).json()
    found = [row["id"] for row in first["results"] + second["results"]]
    assert len(found) == len(set(found)) == 105
    assert second["next"] is None


def test_a_page_takes_few_queries(
    manager: Program, organisation: Organisation, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        make_record(organisation)
    listed(manager)
    with django_assert_max_num_queries(3):
        assert len(ids(manager)) == 20


def test_another_organisations_is_not_found(stranger: Program, organisation: Organisation) -> None:
    record = make_record(organisation)
    metadata.note(organisation.id, record.request_id, {"job": "nightly"})
    assert ids(stranger) == ids(stranger, "metadata=job=nightly") == []
    for request_id in (record.request_id, "req_nothing"):
        assert stranger("get", "api_request", args=[request_id]).status_code == 404


@pytest.mark.parametrize("name", ["api_requests", "api_request"])
def test_only_a_management_key_reads(
    name: str, organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    args = ["req_1"] if name == "api_request" else []
    assert Client().get(reverse(name, args=args)).status_code == 401
    assert Program(api_key[1])("get", name, args=args).status_code == 403


def test_it_is_only_read(manager: Program) -> None:
    assert manager("post", "api_requests", {}).status_code == 405
    assert manager("delete", "api_request", args=[f"req_{uuid4().hex}"]).status_code == 405
