"""Metadata and bodies on the pages of requests: found by value, escaped, and not for everybody."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Organisation, Role, User
from billing.models import UsageRecord
from inference.log import bodies, metadata
from inference.log.bodies import Bodies
from inference.models import RequestMetadata
from tests.portal.records import make_record

HOSTILE = "<script>alert(1)</script>"
LIST = "/portal/requests/"


def keep(record: UsageRecord, request: bytes, answer: bytes, *, size: int | None = None) -> None:
    """`size`: of the answer before it was cut."""
    whole = Bodies(request, answer, len(request), len(answer) if size is None else size)
    bodies.keep(record.organisation_id, record.request_id, whole)


@pytest.fixture
def tagged(organisation: Organisation) -> UsageRecord:
    record = make_record(organisation)
    metadata.note(organisation.id, record.request_id, {"job": "nightly", "expr": "a=b&c", "x": ""})
    make_record(organisation)
    return record


@pytest.fixture
def kept(organisation: Organisation) -> UsageRecord:
    Organisation.objects.filter(pk=organisation.pk).update(keeps_bodies=True)
    record = make_record(organisation)
    keep(record, b'{"prompt": "<script>alert(1)</script>"}', "data: 你好\n\n".encode())
    return record


def found(client: Client, query: str) -> list[UsageRecord]:
    return [record for record, *_rest in client.get(f"{LIST}?{query}").context["rows"]]


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("metadata=job=nightly", True), ("metadata=job%3Dnightly", True),
        ("metadata=expr=a%3Db%26c", True), ("metadata=x=", True),
        ("metadata=job=night", False), ("metadata=job=NIGHTLY", False),
        ("metadata=nightly=job", False), ("metadata=job=nightly&status=failed", False),
    ],
)  # fmt: skip
def test_a_pair_is_searched_exactly(
    alice_client: Client, tagged: UsageRecord, query: str, matches: bool
) -> None:
    assert found(alice_client, query) == ([tagged] if matches else [])


@pytest.mark.parametrize("pair", ["nightly", "k=" + "v" * 600, "a%00=b"])
def test_what_is_no_pair_is_named(alice_client: Client, tagged: UsageRecord, pair: str) -> None:
    page = alice_client.get(f"{LIST}?metadata={pair}")
    assert page.status_code == 400
    assert "<code>metadata</code>" in page.content.decode()


def test_pairs_are_shown_and_lead_to_their_search(
    alice_client: Client, tagged: UsageRecord
) -> None:
    assert "job=nightly" in alice_client.get(LIST).content.decode()
    page = alice_client.get(f"{LIST}{tagged.request_id}/").content.decode()
    link = "?metadata=expr=a%3Db%26c"
    assert f'href="{LIST}{link}"' in page
    assert found(alice_client, link.removeprefix("?")) == [tagged]


def test_a_pair_past_its_time_is_neither_shown_nor_found(
    alice_client: Client, tagged: UsageRecord, organisation: Organisation
) -> None:
    old = timezone.now() - timedelta(days=organisation.metadata_retention_days, seconds=1)
    RequestMetadata.objects.update(created_at=old)
    assert found(alice_client, "metadata=job=nightly") == []
    assert "nightly" not in alice_client.get(f"{LIST}{tagged.request_id}/").content.decode()


def test_strangers_find_none(charlie_client: Client, tagged: UsageRecord) -> None:
    assert found(charlie_client, "metadata=job=nightly") == []


def test_bodies_are_text(alice_client: Client, kept: UsageRecord) -> None:
    page = alice_client.get(f"{LIST}{kept.request_id}/").content.decode()
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "data: 你好" in page


def test_metadata_is_text(alice_client: Client, organisation: Organisation) -> None:
    record = make_record(organisation)
    metadata.note(organisation.id, record.request_id, {HOSTILE: HOSTILE})
    for path in (LIST, f"{LIST}{record.request_id}/"):
        assert HOSTILE not in alice_client.get(path).content.decode()


def test_a_cut_body_says_so(alice_client: Client, organisation: Organisation) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(keeps_bodies=True)
    record = make_record(organisation)
    keep(record, b"q", b"half", size=5_000_000)
    page = alice_client.get(f"{LIST}{record.request_id}/").content.decode()
    assert "The first 4 of 5,000,000 bytes." in page


@pytest.mark.parametrize(
    ("role", "sees"),
    [(Role.ADMIN, True), (Role.DEVELOPER, True), (Role.BILLING, False), (Role.VIEWER, False)],
)
def test_who_could_not_call_a_model_reads_no_bodies(
    role: str, sees: bool, bob_client: Client, bob: User, kept: UsageRecord
) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    page = bob_client.get(f"{LIST}{kept.request_id}/").content.decode()
    assert ("你好" in page) == sees
    assert ("developers see what is kept" in page) != sees


def test_the_page_says_when_nothing_is_kept(
    alice_client: Client, organisation: Organisation, kept: UsageRecord
) -> None:
    Organisation.objects.update(keeps_bodies=False)
    page = alice_client.get(f"{LIST}{kept.request_id}/").content.decode()
    assert "Requests and answers are not kept." in page
    assert "你好" not in page
