"""An operator's visit: to read alone, kept in the audit log, over in half an hour."""

import time
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts import audit, visits
from accounts.models import ApiKey, Organisation, User
from billing.models import Transfer
from inference.log import bodies
from inference.log.bodies import Bodies
from tests.conftest import make_user, signed_in
from tests.portal.records import make_record


@pytest.fixture
def operator(db: None) -> Client:
    user = make_user("operator@example.com", "Operator")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    return signed_in(User.objects.get(pk=user.pk))


def begin(client: Client, organisation: Organisation, reason: str = "Ticket 7") -> Any:
    address = f"/operator/accounts/organisation/{organisation.pk}/visit/"
    return client.post(address, {"reason": reason})


def test_the_portal_is_theirs_with_a_banner_and_in_the_log(
    operator: Client, organisation: Organisation, alice_client: Client
) -> None:
    record = make_record(organisation)
    assert begin(operator, organisation)["Location"] == "/portal/"
    page = operator.get("/portal/").content.decode()
    assert "You are visiting Acme" in page
    assert record.request_id in operator.get("/portal/requests/").content.decode()
    assert operator.get("/portal/billing/").status_code == 200
    [entry] = [e for e in audit.entries(organisation) if "operator_visit" in e.changes_dict]
    assert str(entry.actor) == "operator@example.com"
    log = alice_client.get("/portal/members/").content.decode()
    assert "Operator&#x27;s visit: Ticket 7" in log
    assert "operator@example.com" in log
    assert "visiting" not in alice_client.get("/portal/").content.decode()


def test_it_ends(operator: Client, organisation: Organisation) -> None:
    begin(operator, organisation)
    assert operator.post("/portal/visit/end/").status_code == 302
    assert operator.get("/portal/")["Location"] == "/welcome/"  # no organisation of their own
    assert len([e for e in audit.entries(organisation) if "operator_visit" in e.changes_dict]) == 2
    assert begin(operator, organisation).status_code == 302  # the console works again


def test_it_ends_by_itself(
    operator: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(operator, organisation)
    later = time.time() + visits.LASTS_S + 1
    monkeypatch.setattr("accounts.visits.time.time", lambda: later)
    assert operator.get("/portal/")["Location"] == "/welcome/"


def test_it_ends_with_the_right_to_it(operator: Client, organisation: Organisation) -> None:
    begin(operator, organisation)
    User.objects.filter(email="operator@example.com").update(is_superuser=False)
    assert operator.get("/portal/")["Location"] == "/welcome/"


def addresses(patterns: list[Any], prefix: str = "/") -> list[str]:
    """Of every route whose parameters can be made up."""
    found = []
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += addresses(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and "(" not in path:
            found.append(path)
    return found


def test_nothing_is_changed_meanwhile(
    operator: Client, organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    """Every route of the site, by its path as it is written: the refusal comes before any view."""
    begin(operator, organisation)
    transfers = Transfer.objects.count()
    paths = addresses(list(get_resolver().url_patterns))
    assert len(paths) > 100
    allowed = {"/portal/visit/end/", "/accounts/logout/", "/language/"}
    for path in set(paths) - allowed:
        assert operator.post(path).status_code == 403, path
    key = api_key[0]
    for path in (f"/portal/keys/{key.pk}/rotate/", f"/portal/keys/{key.pk}/revoke/",
                 "/portal/keys/new/", "/portal/billing/top-up/", "/welcome/",
                 "/operator/billing/account/grant/"):  # fmt: skip
        assert "Not during a visit" in operator.post(path).content.decode()
    for method in (operator.put, operator.patch, operator.delete):
        assert method("/portal/keys/").status_code == 403
    assert ApiKey.objects.get() == key
    assert Transfer.objects.count() == transfers


def test_neither_prompts_nor_the_playground(operator: Client, organisation: Organisation) -> None:
    organisation.keeps_bodies = True
    organisation.save(update_fields=["keeps_bodies"])
    record = make_record(organisation)
    bodies.keep(organisation.id, record.request_id, Bodies(b"secret", b"hidden", 6, 6))
    begin(operator, organisation)
    page = operator.get(f"/portal/requests/{record.request_id}/").content.decode()
    assert record.request_id in page
    assert "secret" not in page
    assert operator.get("/playground/").status_code == 403


def test_a_reason_is_needed(operator: Client, organisation: Organisation) -> None:
    assert begin(operator, organisation, " ").status_code == 200
    assert operator.get("/portal/")["Location"] == "/welcome/"


def test_operators_alone_visit(
    alice_client: Client, charlie_client: Client, organisation: Organisation
) -> None:
    for client in (alice_client, charlie_client, Client()):
        assert begin(client, organisation).status_code in {302, 403}
    assert record_of_visits(organisation) == 0
    assert "visiting" not in charlie_client.get("/portal/").content.decode()
    staff = make_user("staff@example.com", "Staff")
    User.objects.filter(pk=staff.pk).update(is_staff=True)
    assert begin(signed_in(staff), organisation).status_code == 403


def record_of_visits(organisation: Organisation) -> int:
    return len([e for e in audit.entries(organisation) if "operator_visit" in e.changes_dict])
