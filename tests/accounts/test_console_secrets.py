"""What no page of the console shows is told in no other way; what would give all is superusers'."""

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.models import OutgoingMail, User
from tests.conftest import permit, signed_in

# Columns that let their reader in, as they are or by what they hold.
SECRETS = ("password", "session_key", "secret", "token", "data", "extra_data", "text", "html")


def page_of(model: type[Model], which: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{which}", args=args)


@pytest.fixture
def hidden(alice: User) -> list[tuple[type[Model], str]]:
    """A column of Alice's rows with the first letters of what is in it."""
    UserSession.objects.create(session_key="abcdef", user=alice, ip="192.0.2.1", user_agent="A")
    Authenticator.objects.create(user=alice, type="totp", data={"secret": "abc"})
    SocialAccount.objects.create(user=alice, provider="github", uid="1", extra_data={"a": "abc"})
    OutgoingMail.objects.create(
        subject="s", sender="a@b.co", recipients=[alice.email], text="abc", html="abc"
    )
    User.objects.filter(pk=alice.pk).update(password="abcdef")
    return [
        (User, "password__startswith"),
        (UserSession, "session_key__startswith"),
        (Authenticator, "data__secret__startswith"),
        (SocialAccount, "extra_data__a__startswith"),
        (OutgoingMail, "text__startswith"),
        (OutgoingMail, "html__startswith"),
    ]


def test_no_list_is_narrowed_by_a_column_that_it_hides(
    helper: User,
    hidden: list[tuple[type[Model], str]],
) -> None:
    """Letter by letter, whoever may look would read sessions, and passwords' hashes."""
    client = signed_in(helper)
    for model, lookup in hidden:
        permit(helper, f"view_{model._meta.model_name}")
        address = page_of(model, "changelist")
        assert client.get(address).status_code == 200
        assert client.get(address, {lookup: "abc"}).status_code == 400, lookup


def test_filters_of_the_lists_go_on_working(alice: User) -> None:
    client = signed_in(User.objects.create_superuser("boss@example.com"))
    for model, query in (
        (User, {"is_staff__exact": "0"}),
        (OutgoingMail, {"sent_at__isempty": "1"}),
        (OutgoingMail, {"created_at__year": "2026"}),
        (Authenticator, {"type__exact": "totp"}),
    ):
        assert client.get(page_of(model, "changelist"), query).status_code == 200, query


def test_every_page_that_hides_a_secret_is_discreet() -> None:
    """Also those that come with the next package."""
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_staff=True)
    for model, shown_by in admin.site._registry.items():
        shown = {*flatten_fieldsets(shown_by.get_fieldsets(request))}
        for name in SECRETS:
            if any(field.name == name for field in model._meta.fields) and name not in shown:
                assert not shown_by.lookup_allowed(f"{name}__startswith", "a", request), model


def test_staff_with_every_permission_make_themselves_nothing_more(
    helper: User,
) -> None:
    """By a group's permissions, by a provider of their own, or by an operator's mails."""
    helper.user_permissions.set(Permission.objects.all())
    group = Group.objects.create(name="helpers")
    provider = SocialApp.objects.create(provider="openid_connect", name="SSO", client_id="1")
    client = signed_in(helper)
    for row in (group, provider):
        for which in ("change", "delete"):
            address = page_of(type(row), which, row.pk)
            assert client.get(address).status_code == 403
            assert client.post(address, {"name": "mine", "post": "yes"}).status_code == 403
        assert client.get(page_of(type(row), "add")).status_code == 403
    boss = signed_in(User.objects.create_superuser("boss@example.com"))
    assert boss.get(page_of(Group, "change", group.pk)).status_code == 200
    assert boss.get(page_of(SocialApp, "change", provider.pk)).status_code == 200


@pytest.mark.parametrize("second", [False, True])
def test_a_mail_to_an_operator_is_read_by_superusers(helper: User, second: bool) -> None:
    """Its link lets its reader in: by a new password, say, or a confirmed address."""
    boss = User.objects.create_superuser("boss@example.com")
    EmailAddress.objects.create(user=boss, email="chief@example.com")
    address = "Chief@example.com" if second else boss.email
    permit(helper, "view_outgoingmail", "change_outgoingmail")

    def page(client: Client, recipient: str) -> str:
        mail = OutgoingMail.objects.create(
            subject="New password", sender="a@b.co", recipients=[recipient], text="/key/abc/"
        )
        return client.get(page_of(OutgoingMail, "change", mail.pk)).content.decode()

    assert "/key/abc/" in page(signed_in(boss), address)
    assert "/key/abc/" in page(signed_in(helper), "customer@example.com")
    seen = page(signed_in(helper), address)
    assert "New password" in seen
    assert "/key/" not in seen
