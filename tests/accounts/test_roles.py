"""Every address with an object's id, for every role, in one's own and in another organisation."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts import flows
from accounts.models import ApiKey, Invitation, Membership, Organisation, Role, Scope, User

MAKERS = {Role.OWNER, Role.ADMIN, Role.DEVELOPER}
MANAGERS = {Role.OWNER, Role.ADMIN}
# Address, kind of object, who may. All are POSTs.
ACTIONS = [
    ("key_revoke", "key", MAKERS),
    ("key_rotate", "key", MAKERS),
    ("key_revoke", "management key", MANAGERS),
    ("key_rotate", "management key", MANAGERS),
    ("member_role", "member", MANAGERS),
    ("member_remove", "member", MANAGERS),
    ("invitation_withdraw", "invitation", MANAGERS),
]
FORMS = [
    ("key_create", {"name": "k", "scope": "inference"}, MAKERS),
    ("key_create", {"name": "k", "scope": "management"}, MANAGERS),
    ("member_invite", {"email": "x@example.com", "role": "viewer"}, MANAGERS),
    ("settings", {"form": "organisation", "name": "New"}, MANAGERS),
    ("settings", {"form": "person", "name": "New", "time_zone": "UTC"}, set(Role)),
    ("welcome", {}, MAKERS),
]


@pytest.fixture
def objects(organisation: Organisation, alice: User) -> dict[str, object]:
    member = User.objects.create_user("victim@example.com")
    key, _secret = flows.create_key(organisation, alice, "k")
    manages, _secret = flows.create_key(organisation, alice, "m", scope=Scope.MANAGEMENT)
    membership = Membership.objects.create(organisation=organisation, user=member, role=Role.VIEWER)
    invitation, _token = flows.invite(organisation, alice, "dora@example.com", Role.VIEWER)
    return {
        "key": key.pk, "management key": manages.pk, "member": membership.pk,
        "invitation": invitation.pk,
    }  # fmt: skip


def state() -> list[object]:
    keys = ApiKey.objects.order_by("pk").values_list("pk", "revoked_at", "organisation")
    invitations = Invitation.objects.order_by("pk").values_list("pk")
    return [
        *keys,
        *invitations,
        *Membership.objects.order_by("pk").values_list("pk", "role", "organisation"),
    ]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("name", "kind", "allowed"), ACTIONS)
def test_in_ones_own_organisation_the_role_decides(
    name: str, kind: str, allowed: set[Role], role: Role,
    bob: User, bob_client: Client, objects: dict[str, object],
) -> None:  # fmt: skip
    Membership.objects.filter(user=bob).update(role=role)
    before = state()
    answer = bob_client.post(reverse(name, args=[objects[kind]]), {"role": "billing"})
    assert answer.status_code in ({200, 302} if role in allowed else {403})
    assert (state() != before) == (role in allowed)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("name", "kind", "allowed"), ACTIONS)
def test_in_another_organisation_nothing_is_found_or_changed(
    name: str, kind: str, allowed: set[Role], role: Role,
    charlie: User, charlie_client: Client, objects: dict[str, object],
) -> None:  # fmt: skip
    Membership.objects.filter(user=charlie).update(role=role)
    before = state()
    answer = charlie_client.post(reverse(name, args=[objects[kind]]), {"role": "billing"})
    # Removing is anybody's address, since everybody may leave: there the object decides.
    anybody = role in allowed or (kind == "management key" and role in MAKERS)
    assert answer.status_code == (404 if anybody or name == "member_remove" else 403)
    assert state() == before


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("name", "fields", "allowed"), FORMS)
def test_forms_are_for_their_roles(
    name: str, fields: dict[str, str], allowed: set[Role], role: Role,
    bob: User, bob_client: Client,
) -> None:  # fmt: skip
    Membership.objects.filter(user=bob).update(role=role)
    answer = bob_client.post(reverse(name), fields)
    # A developer may make keys, only not that kind: the form says so.
    refused = {400} if name == "key_create" and role in MAKERS else {403}
    assert answer.status_code in ({200, 302} if role in allowed else refused)


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "kind", "_allowed"), ACTIONS)
def test_a_visitor_is_sent_to_sign_in(
    name: str, kind: str, _allowed: set[Role], client: Client, objects: dict[str, object]
) -> None:
    before = state()
    answer = client.post(reverse(name, args=[objects[kind]]))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_login"))
    assert state() == before


@pytest.mark.parametrize(("name", "kind", "_allowed"), ACTIONS)
def test_only_a_post_acts(
    name: str, kind: str, _allowed: set[Role], alice_client: Client, objects: dict[str, object]
) -> None:
    before = state()
    answer = alice_client.get(reverse(name, args=[objects[kind]]))
    assert answer.status_code == (302 if name == "key_rotate" else 405)  # it may show a page
    assert state() == before


@pytest.mark.parametrize("name", ["key_create", "member_invite", "settings", "organisation_switch"])
def test_forms_need_their_token(name: str, alice: User, organisation: Organisation) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(reverse(name), {"name": "k", "scope": "inference"}).status_code == 403


@pytest.mark.parametrize("chosen", ["", "org_none", "\0", "x" * 10_000, "1 OR 1=1"])
def test_odd_choices_of_an_organisation_are_not_found(chosen: str, alice_client: Client) -> None:
    answer = alice_client.post(reverse("organisation_switch"), {"organisation": chosen})
    assert answer.status_code == 404


@pytest.mark.parametrize("role", Role)
def test_menus_lead_nobody_where_they_are_refused(
    role: Role, bob: User, bob_client: Client
) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    page = bob_client.get(reverse("overview")).content.decode()
    sidebar = page[page.index('id="sidebar"') : page.index("</nav>")]
    addresses = set(re.findall(r'href="(/(?:portal|playground)/[^"]*)"', sidebar))
    assert {address: bob_client.get(address).status_code for address in addresses} == dict.fromkeys(
        addresses, 200
    )
    everywhere = {"overview", "keys", "usage", "requests", "limits", "members", "settings"}
    also = {"playground": MAKERS, "billing": set(Role) - {Role.VIEWER}}
    everywhere |= {name for name, roles in also.items() if role in roles}
    assert addresses == {reverse(name) for name in everywhere}
