"""Pages of people: keys, welcome, members, settings; by role, and never another organisation's."""

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import flows
from accounts.authentication import KeyRefused, authenticate_key, key_cache
from accounts.models import ApiKey, Invitation, Membership, Organisation, OutgoingMail, Role, User
from tests.management import Program
from tests.portal.records import offer_starter

Key = tuple[ApiKey, str]
PAGES = ["keys", "key_create", "members", "settings", "billing", "welcome"]


@pytest.mark.parametrize("name", PAGES)
def test_a_member_sees_the_page(name: str, alice_client: Client) -> None:
    assert alice_client.get(reverse(name)).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("name", PAGES)
def test_a_visitor_is_sent_to_sign_in(name: str, client: Client) -> None:
    answer = client.get(reverse(name))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_login"))


def test_a_new_key_is_shown_once_and_works(alice_client: Client) -> None:
    answer = alice_client.post(
        reverse("key_create"),
        {"name": "ci", "scope": "inference", "monthly_cap": "2.50", "ip_ranges": "10.0.0.0/8，::1"},
        follow=True,
    )
    key = ApiKey.objects.get(name="ci")
    assert (key.monthly_cap_nanos, key.ip_ranges) == (2_500_000_000, ["10.0.0.0/8", "::1/128"])
    secret = answer.context["new"]["secret"]
    assert secret in answer.content.decode()
    assert authenticate_key(secret, "10.1.2.3", "inference").api_key_id == key.pk
    assert secret not in alice_client.get(reverse("keys")).content.decode()


def test_a_keys_models_are_boxes_to_tick(alice_client: Client) -> None:
    offer_starter()
    page = alice_client.get(reverse("key_create")).content.decode()
    assert re.search(r'<input type="checkbox" name="allowed_models" value="starter"', page)
    fields = {"name": "ci", "scope": "inference", "allowed_models": ["starter"]}
    alice_client.post(reverse("key_create"), fields)
    assert ApiKey.objects.get(name="ci").allowed_models == ["starter"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "x" * 101), ("scope", "everything"), ("monthly_cap", "-1"),
        ("monthly_cap", "NaN"), ("ip_ranges", "999.1.1.1"), ("expires_at", "2001-01-01T00:00"),
        ("allowed_models", "no-such-model"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(field: str, value: str, alice_client: Client) -> None:
    fields = {"name": "k", "scope": "inference", field: value}
    answer = alice_client.post(reverse("key_create"), fields)
    assert answer.status_code == 400
    assert answer.context["form"].errors.keys() == {field}
    assert not ApiKey.objects.filter(name="k").exists()


def test_revoking_and_rotating_from_the_page(alice_client: Client, api_key: Key) -> None:
    key, secret = api_key
    answer = alice_client.post(reverse("key_rotate", args=[key.pk]), follow=True)
    successor = answer.context["new"]["secret"]
    alice_client.post(reverse("key_revoke", args=[key.pk]))
    key_cache.clear()
    with pytest.raises(KeyRefused):
        authenticate_key(secret, "", "inference")
    assert authenticate_key(successor, "", "inference")


@pytest.mark.parametrize("name", ["key_revoke", "key_rotate"])
def test_another_organisations_key_is_not_there(
    name: str, charlie_client: Client, api_key: Key
) -> None:
    assert charlie_client.post(reverse(name, args=[api_key[0].pk])).status_code == 404
    api_key[0].refresh_from_db()
    assert api_key[0].revoked_at is None
    read = charlie_client.get(reverse(name, args=[api_key[0].pk]))
    assert read.status_code == (302 if name == "key_rotate" else 405)


def test_a_viewer_sees_keys_but_makes_none(bob_client: Client, bob: User, api_key: Key) -> None:
    Membership.objects.filter(user=bob).update(role=Role.VIEWER)
    assert bob_client.get(reverse("keys")).status_code == 200
    assert bob_client.get(reverse("key_create")).status_code == 403
    assert bob_client.post(reverse("key_revoke", args=[api_key[0].pk])).status_code == 403


def test_who_has_a_key_is_not_welcomed_again(alice_client: Client) -> None:
    assert alice_client.get(reverse("welcome")).status_code == 200
    alice_client.post(reverse("welcome"))
    again = alice_client.get(reverse("welcome"))
    assert (again.status_code, again["Location"]) == (302, reverse("overview"))


def test_the_welcome_page_makes_a_key_and_its_curl(alice_client: Client) -> None:
    answer = alice_client.post(reverse("welcome"))
    secret = answer.context["secret"]
    assert secret in answer.context["curl"]
    assert authenticate_key(secret, "", "inference")
    assert alice_client.get(reverse("first_call")).json() == {"arrived": False}


@pytest.mark.parametrize("name", ["key_create", "welcome"])
def test_a_form_makes_one_key_and_shows_it_once(
    name: str, alice_client: Client, organisation: Organisation
) -> None:
    shown = alice_client.get(reverse(name)).content.decode()
    token = re.search(r'name="form_token" value="([0-9a-f]{32})"', shown)
    assert token
    fields = {"name": "k", "scope": "inference", "form_token": token[1]}
    first = alice_client.post(reverse(name), fields)
    assert 'data-testid="secret"' in first.content.decode()
    again = alice_client.post(reverse(name), fields | {"name": "other"}, follow=True)
    assert again.redirect_chain == [(reverse("keys"), 302)]
    assert "This form has already made its key" in again.content.decode()
    assert 'data-testid="secret"' not in again.content.decode()
    assert organisation.api_keys.count() == 1


def test_an_invitation_goes_out_and_is_accepted(
    alice_client: Client, charlie_client: Client, organisation: Organisation, settings: Settings
) -> None:
    settings.EMAIL_BACKEND = "accounts.mail.OutboxBackend"
    alice_client.post(reverse("member_invite"), {"email": "charlie@example.com", "role": "viewer"})
    mail = OutgoingMail.objects.get()
    assert mail.recipients == ["charlie@example.com"]
    address = next(word for word in mail.text.split() if "/invitation/" in word)
    path = address[address.index("/invitation/") :]
    assert charlie_client.get(path).status_code == 200
    charlie_client.post(path)
    assert organisation.memberships.filter(user__email="charlie@example.com").exists()
    assert "Acme" in charlie_client.get(reverse("members")).content.decode()


@pytest.mark.parametrize("name", ["evil.example", "Go to http://evil.example/win", "a@b.example"])
def test_no_mail_client_makes_a_link_of_the_name_in_an_invitation(
    name: str, alice_client: Client, organisation: Organisation, settings: Settings
) -> None:
    """A stranger reads it, and whoever sends it has chosen it."""
    settings.EMAIL_BACKEND = "accounts.mail.OutboxBackend"
    Organisation.objects.update(name=name)
    alice_client.post(reverse("member_invite"), {"email": "dora@example.com", "role": "viewer"})
    mail = OutgoingMail.objects.get()
    for body in (mail.text, mail.html):
        assert name not in body
        assert name in body.replace("\u200b", "")
        assert not re.search(r"evil\.\w|b\.example|http://evil", body)


def test_an_admin_does_not_replace_an_owners_invitation_either(
    bob: User, bob_client: Client, alice_client: Client, manager: Program,
    organisation: Organisation,
) -> None:  # fmt: skip
    Membership.objects.filter(user=bob).update(role=Role.ADMIN)
    dora = {"email": "dora@example.com", "role": "owner"}
    alice_client.post(reverse("member_invite"), dora)
    lesser = dora | {"role": "viewer"}
    answer = bob_client.post(reverse("member_invite"), lesser)
    assert "invited as an owner; withdraw that invitation first" in answer.content.decode()
    assert manager("post", "api_invitations", lesser).status_code == 400
    made = organisation.invitations.get()
    assert made.role == Role.OWNER
    bob_client.post(reverse("invitation_withdraw", args=[made.pk]))
    assert organisation.invitations.get() == made
    alice_client.post(reverse("member_invite"), dora)
    assert organisation.invitations.get() != made, "an owner's again replaces it"


def test_an_invitation_that_is_over_says_so(
    alice_client: Client, organisation: Organisation, alice: User
) -> None:
    flows.invite(organisation, alice, "dora@example.com", Role.VIEWER)
    assert "invited, expired" not in alice_client.get(reverse("members")).content.decode()
    organisation.invitations.update(expires_at=timezone.now())
    assert "invited, expired" in alice_client.get(reverse("members")).content.decode()


@pytest.mark.parametrize(
    "fields", [{"email": "nope", "role": "viewer"}, {"email": "x@example.com", "role": "god"}]
)
def test_a_bad_invitation_is_refused(fields: dict[str, str], alice_client: Client) -> None:
    assert alice_client.post(reverse("member_invite"), fields).status_code == 400
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.BILLING, Role.VIEWER])
def test_only_managers_manage_members(role: str, bob_client: Client, bob: User) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    owner = Membership.objects.get(role=Role.OWNER, organisation__members=bob)
    invite = bob_client.post(reverse("member_invite"), {"email": "x@example.com", "role": "viewer"})
    change = bob_client.post(reverse("member_role", args=[owner.pk]), {"role": "viewer"})
    remove = bob_client.post(reverse("member_remove", args=[owner.pk]))
    assert [invite.status_code, change.status_code, remove.status_code] == [403, 403, 403]


def test_an_admin_makes_no_owners_and_removes_none(
    bob_client: Client, bob: User, organisation: Organisation
) -> None:
    own = Membership.objects.get(user=bob)
    flows.change_role(own, Role.ADMIN)
    owner = organisation.memberships.get(role=Role.OWNER)
    bob_client.post(reverse("member_role", args=[own.pk]), {"role": "owner"})
    bob_client.post(reverse("member_remove", args=[owner.pk]))
    bob_client.post(reverse("member_invite"), {"email": "x@example.com", "role": "owner"})
    made, _token = flows.invite(organisation, owner.user, "y@example.com", Role.OWNER)
    bob_client.post(reverse("invitation_withdraw", args=[made.pk]))
    own.refresh_from_db()
    assert own.role == Role.ADMIN
    assert organisation.memberships.filter(role=Role.OWNER).count() == 1
    assert list(Invitation.objects.all()) == [made]


def test_another_organisations_member_is_not_there(
    charlie_client: Client, organisation: Organisation
) -> None:
    owner = organisation.memberships.get()
    for name in ("member_role", "member_remove"):
        answer = charlie_client.post(reverse(name, args=[owner.pk]), {"role": "viewer"})
        assert answer.status_code == 404


def test_a_member_may_leave(bob_client: Client, bob: User) -> None:
    own = Membership.objects.get(user=bob)
    bob_client.post(reverse("member_remove", args=[own.pk]))
    assert not Membership.objects.filter(user=bob).exists()


def test_settings_save_the_person_and_the_organisation(
    alice_client: Client, alice: User, organisation: Organisation
) -> None:
    page = reverse("settings")
    alice_client.post(page, {"form": "person", "name": "Al", "time_zone": "Asia/Shanghai"})
    alice_client.post(page, {"form": "organisation", "name": "Renamed", "multiplier_bp": "1"})
    alice.refresh_from_db()
    organisation.refresh_from_db()
    assert (alice.name, alice.time_zone) == ("Al", "Asia/Shanghai")
    assert (organisation.name, organisation.multiplier_bp) == ("Renamed", 10_000)
    bad = alice_client.post(page, {"form": "person", "name": "Al", "time_zone": "Mars"})
    assert bad.status_code == 400
    assert bad.context["person"].errors.keys() == {"time_zone"}


def test_fields_that_a_person_must_not_set_stay(alice_client: Client, alice: User) -> None:
    fields = {
        "form": "person", "name": "Al", "time_zone": "UTC", "is_staff": "on",
        "is_superuser": "on", "email": "evil@example.com",
    }  # fmt: skip
    alice_client.post(reverse("settings"), fields)
    alice.refresh_from_db()
    assert (alice.is_staff, alice.is_superuser, alice.email) == (False, False, "alice@example.com")


def test_a_developer_does_not_rename_the_organisation(bob_client: Client) -> None:
    fields = {"form": "organisation", "name": "Mine"}
    assert bob_client.post(reverse("settings"), fields).status_code == 403


def test_switching_between_ones_own_organisations_only(
    alice_client: Client, alice: User, charlie: User, organisation: Organisation
) -> None:
    second = flows.create_organisation(alice, "Second", welcome=False)
    switch = reverse("organisation_switch")
    alice_client.post(switch, {"organisation": second.pk})
    assert "Second" in alice_client.get(reverse("members")).content.decode()
    foreign = charlie.memberships.get().organisation_id
    assert alice_client.post(switch, {"organisation": foreign}).status_code == 404


def test_a_former_members_choice_counts_for_nothing(
    bob_client: Client, bob: User, organisation: Organisation
) -> None:
    bob_client.post(reverse("organisation_switch"), {"organisation": organisation.pk})
    Membership.objects.filter(user=bob).delete()
    assert bob_client.get(reverse("keys")).status_code == 302


def test_names_are_shown_as_text(alice_client: Client, organisation: Organisation) -> None:
    Organisation.objects.update(name="<script>alert(1)</script>")
    ApiKey.objects.all().delete()
    flows.create_key(organisation, None, "<img src=x onerror=alert(1)>")
    for name in ("keys", "members", "settings", "billing"):
        page = alice_client.get(reverse(name)).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
