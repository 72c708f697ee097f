"""Who may do what in the operator's console: to be staff opens its door and nothing behind it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.models import Organisation, User
from billing import ledger
from portal.lib.money import NANOS_PER_DOLLAR
from tests.conftest import make_user, permit, signed_in

# What Django itself shows to all who are staff.
OPEN = {
    "/operator/", "/operator/login/", "/operator/logout/", "/operator/password_change/",
    "/operator/password_change/done/", "/operator/jsi18n/",
}  # fmt: skip


def addresses(patterns: list[Any], prefix: str = "/") -> Iterator[str]:
    """Of every route of the console, with 1 for each parameter."""
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and path.startswith("/operator/") and "(" not in path:
            yield re.sub("<[^>]+>", "1", path)


def test_every_page_wants_its_permission(helper: User) -> None:
    client = signed_in(helper)
    paths = set(addresses(list(get_resolver().url_patterns))) - OPEN
    assert len(paths) > 100
    shown = []
    for path in paths:
        for method in (client.get, client.post):
            with transaction.atomic():  # Django's own views use savepoints
                answer = method(path)
            on = answer.headers.get("Location", "")
            # Of a row that is not there the console says so on its first page.
            refused = answer.status_code in {403, 404, 405} or on in {
                f"{path}change/",
                "/operator/",
            }
            shown += [] if refused else [(path, answer.status_code, on)]
    assert shown == []


def test_money_is_moved_with_the_permission_alone(helper: User, organisation: Organisation) -> None:
    page = reverse("admin:billing_grant")
    fields = {"organisation": organisation.id, "amount": "3", "reason": "Sorry", "form_token": "t"}
    accounts = reverse("admin:billing_account_changelist")
    client = signed_in(helper)
    permit(helper, "view_account")
    assert client.post(page, fields).status_code == 403
    assert ledger.balance(organisation.id).posted_nanos == 10 * NANOS_PER_DOLLAR
    assert "grant/" not in client.get(accounts).content.decode(), "nor is anybody led there"
    permit(helper, "view_account", "change_account")
    assert f"{page}?organisation={organisation.id}" in client.get(accounts).content.decode()
    assert client.post(page, fields).status_code == 302
    assert ledger.balance(organisation.id).posted_nanos == 13 * NANOS_PER_DOLLAR


def test_who_may_only_look_at_organisations_suspends_none(
    helper: User, organisation: Organisation
) -> None:
    page = reverse("admin:accounts_organisation_changelist")
    client = signed_in(helper)
    for codename, suspended in (("view_organisation", False), ("change_organisation", True)):
        permit(helper, codename)
        assert client.get(page).status_code == 200
        client.post(page, {"action": "suspend", "_selected_action": [organisation.pk]})
        organisation.refresh_from_db()
        assert (organisation.suspended_at is not None) == suspended


@pytest.mark.parametrize("many", [False, True])
def test_nobody_is_deleted_who_is_the_last_owner(
    many: bool, organisation: Organisation, alice: User, bob: User
) -> None:
    operator = signed_in(User.objects.create_superuser("operator@example.com"))

    def delete(*users: User) -> str:
        if not many:
            address = reverse("admin:accounts_user_delete", args=[users[0].pk])
            return operator.post(address, {"post": "yes"}).content.decode()
        chosen = {"action": "delete_selected", "_selected_action": [user.pk for user in users]}
        address = reverse("admin:accounts_user_changelist")
        return operator.post(address, {**chosen, "post": "yes"}).content.decode()

    assert "Acme: An organisation needs an owner" in delete(alice, bob)
    assert organisation.memberships.count() == 2
    organisation.memberships.filter(user=bob).update(role="owner")
    if many:
        assert "Acme: An organisation needs an owner" in delete(alice, bob)
    delete(alice)
    assert organisation.memberships.get().user == bob


def test_who_may_change_people_makes_no_operator(helper: User, alice: User) -> None:
    """Nor changes one, whose address is a way to their password."""
    boss = User.objects.create_superuser("boss@example.com")
    colleague = make_user("colleague@example.com", "Colleague")
    User.objects.filter(pk=colleague.pk).update(is_staff=True)
    every = Group.objects.create(name="everything")
    client = signed_in(helper)
    permit(helper, "view_user", "change_user", "delete_user")
    wanted = {
        "time_zone": "UTC", "is_active": "on", "is_staff": "on", "is_superuser": "on",
        "groups": every.pk,
    }  # fmt: skip

    def change(user: User, asking: Client, name: str) -> int:
        page = reverse("admin:accounts_user_change", args=[user.pk])
        return asking.post(page, {**wanted, "email": f"{name}@example.com"}).status_code

    assert change(alice, client, "renamed") == 302
    alice.refresh_from_db()
    assert (alice.email, alice.is_staff, alice.is_superuser) == (
        "renamed@example.com", False, False,
    )  # fmt: skip
    assert not alice.groups.exists()
    for operator in (boss, colleague, helper):
        assert change(operator, client, "mine") == 403
        page = reverse("admin:accounts_user_delete", args=[operator.pk])
        assert client.post(page, {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [boss.pk], "post": "yes"}
    client.post(reverse("admin:accounts_user_changelist"), chosen)
    assert User.objects.filter(pk=boss.pk).exists()
    assert change(alice, signed_in(boss), "operator") == 302
    alice.refresh_from_db()
    assert alice.is_superuser, "who may, does"
    assert alice.groups.get() == every, "and gives permissions by groups"


def test_who_may_change_ways_to_sign_in_becomes_nobody_else(helper: User, alice: User) -> None:
    """By an address or an account elsewhere that is theirs, and which they say is an operator's."""
    boss = User.objects.create_superuser("boss@example.com")
    rows: dict[User, list[Any]] = {
        person: [
            EmailAddress.objects.create(user=person, email=person.email),
            SocialAccount.objects.create(user=person, provider="github", uid=f"{person.pk}"),
            Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={}),
        ]
        for person in (boss, alice)
    }
    client = signed_in(helper)
    models = ("emailaddress", "socialaccount", "authenticator")
    permit(helper, *(f"{verb}_{model}" for verb in ("view", "add", "delete") for model in models))
    for row in rows[boss]:
        page = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        wanted = {"user": boss.pk, "email": "mine@example.com", "provider": "github", "uid": "1"}
        assert client.post(reverse(f"{page}_add"), wanted).status_code == 403
        assert (
            client.post(reverse(f"{page}_delete", args=[row.pk]), {"post": "y"}).status_code == 403
        )
        chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        client.post(reverse(f"{page}_changelist"), chosen)
        assert type(row).objects.filter(pk=row.pk).exists()
    confirm = {"action": "make_verified", "_selected_action": [rows[alice][0].pk]}
    addresses = EmailAddress.objects.filter(user=alice, verified=True)
    client.post(reverse("admin:account_emailaddress_changelist"), confirm)
    assert not addresses.exists()
    permit(
        helper, *(f"{verb}_{model}" for verb in ("view", "change", "delete") for model in models)
    )
    client.post(reverse("admin:account_emailaddress_changelist"), confirm)
    assert addresses.exists()
    for row in rows[alice]:
        page = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        wanted = {"user": boss.pk, "email": "mine@example.com", "verified": "on", "uid": "1"}
        assert client.post(reverse(f"{page}_change", args=[row.pk]), wanted).status_code == 403
        assert (
            client.post(reverse(f"{page}_delete", args=[row.pk]), {"post": "y"}).status_code == 302
        )
        assert not type(row).objects.filter(pk=row.pk).exists()


def test_a_list_tells_nothing_beside_its_own(
    helper: User, organisation: Organisation, alice: User
) -> None:
    """Neither balances nor, by way of the search, who is a member where."""
    client = signed_in(helper)
    for page, view, found, shown in (
        ("admin:accounts_organisation_changelist", "view_organisation", organisation.pk, "$10.00"),
        ("admin:billing_account_changelist", "view_account", organisation.name, None),
    ):
        address = reverse(page)
        permit(helper, view)
        assert found in client.get(address).content.decode()
        assert found not in client.get(address, {"q": alice.email}).content.decode()
        assert shown is None or shown not in client.get(address).content.decode()
        assert "Sign in as" not in client.get(address).content.decode()
        permit(helper, view, "view_user", "view_account", "change_organisation")
        assert found in client.get(address, {"q": alice.email}).content.decode()
        if shown is not None:
            assert shown in client.get(address).content.decode()
            assert "Sign in as" in client.get(address).content.decode()
