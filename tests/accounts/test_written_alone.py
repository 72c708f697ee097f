"""A form writes what it changes, and nothing that somebody else changes in the same moment."""

from collections.abc import Iterator

import pytest
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import flows
from accounts.authentication import key_cache
from accounts.models import Organisation, Scope, User
from tests.management import Program

NOW = timezone.now()


@pytest.fixture
def _suspended_meanwhile(organisation: Organisation) -> Iterator[None]:
    """A dispute, or the deletion, comes when the form has been read and is not yet written."""
    key_cache.clear()

    def suspend(**_kwargs: object) -> None:
        rows = Organisation.objects.filter(pk=organisation.pk)
        rows.update(suspended_at=NOW, deleted_at=NOW, multiplier_bp=5)

    pre_save.connect(suspend, Organisation)
    yield
    pre_save.disconnect(suspend, Organisation)


@pytest.mark.usefixtures("_suspended_meanwhile")
@pytest.mark.parametrize("form", ["organisation", "request-log", "/api"])
def test_an_organisation_stays_suspended(
    form: str, organisation: Organisation, alice_client: Client
) -> None:
    fields = {"name": "New", "body_retention_days": 9, "metadata_retention_days": 90}
    if form == "/api":
        _key, secret = flows.create_key(organisation, None, "k", scope=Scope.MANAGEMENT)
        assert Program(secret)("patch", "api_organisation", fields).status_code == 200
    else:
        sent = alice_client.post(reverse("settings"), {"form": form, **fields})
        assert sent.status_code == 302
    organisation.refresh_from_db()
    assert (organisation.suspended_at, organisation.deleted_at) == (NOW, NOW)
    assert organisation.multiplier_bp == 5
    assert organisation.name == "New" or organisation.body_retention_days == 9


def test_a_person_stays_locked_out(alice: User, alice_client: Client) -> None:
    def lock_out(**_kwargs: object) -> None:
        User.objects.filter(pk=alice.pk).update(is_active=False, password="another")

    pre_save.connect(lock_out, User)
    try:
        fields = {"form": "person", "name": "Alicia", "time_zone": "UTC"}
        assert alice_client.post(reverse("settings"), fields).status_code == 302
    finally:
        pre_save.disconnect(lock_out, User)
    alice.refresh_from_db()
    assert (alice.name, alice.is_active, alice.password) == ("Alicia", False, "another")


def test_who_has_gone_gets_no_role(organisation: Organisation, bob: User) -> None:
    membership = organisation.memberships.get(user=bob)
    flows.remove_member(organisation.memberships.get(user=bob))
    with pytest.raises(ValueError, match="no longer a member"):
        flows.change_role(membership, "viewer")


def test_who_waited_for_a_deletion_makes_no_key_and_lets_nobody_in(
    organisation: Organisation, alice: User
) -> None:
    flows.suspend(organisation)
    flows.erase(Organisation.objects.get(pk=organisation.pk))
    with pytest.raises(ValueError, match="was deleted"):
        flows.create_key(organisation, alice, "late")
    with pytest.raises(ValueError, match="was deleted"):
        flows.invite(organisation, alice, "dora@example.com", "viewer")
    assert not organisation.api_keys.exists()
    assert not organisation.invitations.exists()
    # As who follows one sees it that is deleted in this moment.
    seen, week = flows.hash_token("seen"), timezone.now() + flows.INVITATION_LASTS
    organisation.invitations.create(
        email=alice.email, role="owner", token_hash=seen, expires_at=week
    )
    with pytest.raises(ValueError, match="was deleted"):
        flows.accept_invitation("seen", alice)
    assert not organisation.memberships.exists()
