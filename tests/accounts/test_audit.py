"""The audit log: every change, by whom, kept when what it is about is gone."""

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import audit, flows
from accounts.models import ApiKey, Membership, Organisation, Role, User
from tests.management import Program


def actions(organisation: Organisation) -> list[tuple[str, str, str]]:
    return [
        (str(entry.content_type.model), entry.get_action_display(), str(entry.actor or ""))
        for entry in audit.entries(organisation)
    ]


def test_revoking_and_rotating_are_recorded_with_their_actor(
    alice_client: Client, organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    alice_client.post(reverse("key_revoke", args=[api_key[0].pk]))
    assert actions(organisation)[0] == ("apikey", "update", "alice@example.com")
    newest = audit.entries(organisation)[0]
    assert newest.changes_dict.keys() == {"revoked_at"}
    key, _secret = flows.create_key(organisation, None, "k")
    alice_client.post(reverse("key_rotate", args=[key.pk]))
    assert [kind for kind, *_ in actions(organisation)[:2]] == ["apikey", "apikey"]


def test_what_changed_nothing_is_not_recorded(
    organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    flows.revoke_key(api_key[0])
    number = len(actions(organisation))
    flows.revoke_key(api_key[0])
    assert len(actions(organisation)) == number


def test_a_removed_member_stays_in_the_log(
    alice_client: Client, organisation: Organisation, bob: User
) -> None:
    alice_client.post(reverse("member_remove", args=[bob.memberships.get().pk]))
    assert actions(organisation)[0] == ("membership", "delete", "alice@example.com")
    page = alice_client.get(reverse("members")).content.decode()
    assert "bob@example.com (developer)" in page


def test_roles_names_and_suspensions_are_recorded(
    alice_client: Client, organisation: Organisation, bob: User
) -> None:
    member = bob.memberships.get()
    alice_client.post(reverse("member_role", args=[member.pk]), {"role": "admin"})
    assert actions(organisation)[0] == ("membership", "update", "alice@example.com")
    alice_client.post(reverse("settings"), {"form": "organisation", "name": "New"})
    assert actions(organisation)[0] == ("organisation", "update", "alice@example.com")
    flows.suspend(organisation)
    assert audit.entries(organisation)[0].changes_dict.keys() == {"suspended_at"}


def test_a_suspension_that_cannot_be_recorded_is_none(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_change: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(audit, "note", away)
    with pytest.raises(OperationalError):
        flows.suspend(organisation)
    organisation.refresh_from_db()
    assert organisation.suspended_at is None


def test_nobody_elses_log_is_shown(organisation: Organisation, charlie: User) -> None:
    other = charlie.memberships.get().organisation
    flows.create_key(other, charlie, "k")
    assert {kind for kind, *_ in actions(other)} == {"organisation", "membership", "apikey"}
    assert len(actions(other)) == 3


@pytest.mark.parametrize("secret", ["key_hash", "token_hash", "last_used_at"])
def test_no_hash_is_in_the_log(
    secret: str, organisation: Organisation, alice: User, api_key: tuple[ApiKey, str]
) -> None:
    flows.invite(organisation, alice, "x@example.com", Role.VIEWER)
    assert all(secret not in (entry.changes_dict or {}) for entry in audit.entries(organisation))


def test_changes_by_members_alone_have_an_actor(organisation: Organisation) -> None:
    """A command's changes have none: nobody is made up."""
    flows.create_key(organisation, None, "k")
    assert actions(organisation)[0] == ("apikey", "create", "")
    assert Membership.objects.filter(organisation=organisation).exists()


@pytest.mark.parametrize("claimed", ["203.0.113.9", "unknown"])
def test_the_address_is_not_what_the_client_claims(
    claimed: str, alice_client: Client, organisation: Organisation
) -> None:
    """PostgreSQL takes no word for an address: such a header made every change fail."""
    headers = {"x-forwarded-for": claimed, "x-forwarded-port": "99999999999"}
    fields = {"name": "k", "scope": "inference"}
    assert alice_client.post(reverse("key_create"), fields, headers=headers).status_code == 200
    newest = audit.entries(organisation)[0]
    assert (newest.remote_addr, newest.remote_port) == ("127.0.0.1", None)


def test_what_a_key_did_is_told_by_its_name(
    manager: Program, alice_client: Client, organisation: Organisation
) -> None:
    assert manager("post", "api_keys", {"name": "made by a key"}).status_code == 201
    assert manager("patch", "api_organisation", {"name": "New"}).status_code == 200
    assert manager("get", "api_keys").status_code == 200
    key = ApiKey.objects.get(name="manages")
    told = f"manages ({key.prefix}…{key.last_four})"
    assert [entry.actor_email for entry in audit.entries(organisation)[:2]] == [told, told]
    assert told in alice_client.get(reverse("members")).content.decode()
    flows.revoke_key(key)
    assert audit.entries(organisation)[0].actor_email is None, "a command is nobody's"


def test_who_is_gone_stays_in_the_log(
    bob: User, bob_client: Client, alice_client: Client, organisation: Organisation
) -> None:
    bob_client.post(reverse("key_create"), {"name": "k", "scope": "inference"})
    bob.delete()
    page = alice_client.get(reverse("members")).content.decode()
    assert ">bob@example.com</td>" in page


def test_an_organisations_entries_are_found_without_reading_the_others(
    organisation: Organisation,
) -> None:
    plan = audit.entries(organisation).explain()
    assert "audit_of_organisation" in plan, plan
    assert "TEMP B-TREE" not in plan


def test_the_consoles_log_computes_nothing_from_each_entry(
    admin_client: Client, organisation: Organisation
) -> None:
    with CaptureQueriesContext(connection) as asked:
        page = admin_client.get(reverse("admin:auditlog_logentry_changelist"))
    assert page.status_code == 200
    assert [query["sql"] for query in asked if "trunc" in query["sql"].lower()] == []
