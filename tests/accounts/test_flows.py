"""The verbs of accounts: organisations, rotation, invitations, roles."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import flows
from accounts.models import ApiKey, Invitation, Membership, Organisation, Role, User
from billing import ledger
from portal.lib.money import NANOS_PER_DOLLAR


@pytest.mark.django_db
def test_the_first_organisation_comes_with_an_owner_an_account_and_the_welcome_credit() -> None:
    newcomer = User.objects.create_user("new@example.com")
    organisation = flows.ensure_organisation(newcomer)
    assert organisation.memberships.get().role == Role.OWNER
    assert ledger.balance(organisation.id).posted_nanos == 5 * NANOS_PER_DOLLAR


@pytest.mark.django_db
def test_leaving_and_starting_again_earns_no_second_welcome_credit(alice: User) -> None:
    newcomer = User.objects.create_user("new@example.com")
    first = flows.ensure_organisation(newcomer)
    Membership.objects.create(organisation=first, user=alice, role=Role.OWNER)
    flows.remove_member(first.memberships.get(user=newcomer))
    second = flows.ensure_organisation(newcomer)
    assert second != first
    assert ledger.balance(second.id).posted_nanos == 0


def test_a_user_gets_one_organisation_only_once(charlie: User) -> None:
    assert flows.ensure_organisation(charlie) == flows.ensure_organisation(charlie)
    assert charlie.memberships.count() == 1


def test_rotation_makes_a_successor_and_lets_the_old_key_overlap(
    api_key: tuple[ApiKey, str], alice: User
) -> None:
    old = api_key[0]
    new, secret = flows.rotate_key(old, alice)
    old.refresh_from_db()
    assert old.revoked_at is not None
    assert old.revoked_at > timezone.now() + timedelta(hours=23)
    assert (new.name, new.scope) == (old.name, old.scope)
    assert secret != api_key[1]
    with pytest.raises(ValueError, match="rotated"):
        flows.rotate_key(old, alice)


def test_revoking_twice_revokes_once(api_key: tuple[ApiKey, str]) -> None:
    assert flows.revoke_key(api_key[0])
    assert not flows.revoke_key(api_key[0])


def test_an_invitation_is_accepted_once_by_its_address_only(
    organisation: Organisation, alice: User, charlie: User
) -> None:
    _invitation, token = flows.invite(organisation, alice, "Charlie@Example.com", Role.VIEWER)
    bystander = User.objects.create_user("dora@example.com")
    with pytest.raises(ValueError, match="another email"):
        flows.accept_invitation(token, bystander)
    assert flows.accept_invitation(token, charlie).role == Role.VIEWER
    with pytest.raises(ValueError, match="was used"):
        flows.accept_invitation(token, charlie)
    assert organisation.memberships.filter(user=charlie).count() == 1


def test_only_a_tokens_hash_is_stored(organisation: Organisation, alice: User) -> None:
    invitation, token = flows.invite(organisation, alice, "x@example.com", Role.VIEWER)
    assert token.encode() not in bytes(invitation.token_hash)
    assert flows.find_invitation(token) == invitation


def test_a_newer_invitation_replaces_the_older(organisation: Organisation, alice: User) -> None:
    _first, old = flows.invite(organisation, alice, "x@example.com", Role.VIEWER)
    _second, new = flows.invite(organisation, alice, "x@example.com", Role.DEVELOPER)
    assert flows.find_invitation(old) is None
    assert flows.find_invitation(new) is not None


def test_a_day_has_only_so_many_invitations_replaced_ones_included(
    organisation: Organisation, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "MAX_INVITATIONS_A_DAY", 2)
    for _ in range(2):
        flows.invite(organisation, alice, "dana@example.com", Role.VIEWER)
    with pytest.raises(ValueError, match="No more invitations"):
        flows.invite(organisation, alice, "eve@example.com", Role.VIEWER)


def test_a_withdrawn_invitation_is_none_and_an_accepted_one_stays(
    organisation: Organisation, alice: User, charlie: User
) -> None:
    withdrawn, token = flows.invite(organisation, alice, "x@example.com", Role.VIEWER)
    flows.withdraw_invitation(withdrawn)
    assert flows.find_invitation(token) is None
    accepted, token = flows.invite(organisation, alice, charlie.email, Role.VIEWER)
    flows.accept_invitation(token, charlie)
    with pytest.raises(ValueError, match="accepted or withdrawn"):
        flows.withdraw_invitation(accepted)


def test_an_expired_invitation_is_none(organisation: Organisation, alice: User) -> None:
    _invitation, token = flows.invite(organisation, alice, "x@example.com", Role.VIEWER)
    Invitation.objects.update(expires_at=timezone.now())
    assert flows.find_invitation(token) is None


def test_a_member_is_not_invited_again(organisation: Organisation, alice: User, bob: User) -> None:
    with pytest.raises(ValueError, match="member already"):
        flows.invite(organisation, alice, "BOB@example.com", Role.VIEWER)


def test_the_last_owner_stays(organisation: Organisation, bob: User) -> None:
    owner = organisation.memberships.get(role=Role.OWNER)
    with pytest.raises(ValueError, match="needs an owner"):
        flows.change_role(owner, Role.VIEWER)
    with pytest.raises(ValueError, match="needs an owner"):
        flows.remove_member(owner)
    flows.change_role(Membership.objects.get(user=bob), Role.OWNER)
    flows.remove_member(owner)
    assert organisation.memberships.get().user == bob
