"""Coming in: an organisation for everybody, invitations, closed doors, sessions and secrets."""

import re
from collections.abc import Callable

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.adapter import get_adapter as social_adapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.exceptions import PermissionDenied
from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils.html import escape
from pytest_django.fixtures import Settings

from accounts import flows, operators
from accounts.models import Organisation, Role, User
from billing import ledger
from portal.lib.money import NANOS_PER_DOLLAR
from tests.conftest import PASSWORD, STRONG

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unlimited")]
Mails = list[EmailMultiAlternatives]


def sign_up(client: Client, email: str, **more: str) -> int:
    fields = {"email": email, "password1": STRONG, **more}
    return client.post(reverse("account_signup"), fields).status_code


def confirm(client: Client, mails: Mails) -> str:
    found = re.search(r"(/accounts/confirm-email/\S+)", str(mails[-1].body))
    assert found is not None
    return client.post(found.group(1))["Location"]


def test_signing_up_makes_a_user_an_organisation_and_its_credit(
    client: Client, mailoutbox: Mails
) -> None:
    sign_up(client, "dana@example.com")
    organisation = User.objects.get(email="dana@example.com").memberships.get().organisation
    assert ledger.balance(organisation.id).available_nanos == 5 * NANOS_PER_DOLLAR
    assert confirm(client, mailoutbox) == reverse("welcome")
    assert escape(organisation.name) in client.get(reverse("members")).content.decode()


def test_mails_name_the_site_and_the_page_says_where_a_mail_without_a_server_is(
    client: Client, mailoutbox: Mails, settings: Settings
) -> None:
    settings.EMAIL_HOST = ""
    sign_up(client, "dana@example.com")
    assert mailoutbox[-1].subject == "Confirm your address for Parlance"
    page = reverse("account_email_verification_sent")
    assert "no mail server" in client.get(page).content.decode()
    assert "no mail server" in client.get(reverse("account_reset_password_done")).content.decode()
    settings.EMAIL_HOST = "smtp.example.com"
    assert "spam folder" in client.get(page).content.decode()


def test_without_its_organisation_there_is_no_user(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("the ledger is away")

    monkeypatch.setattr("billing.ledger.open_account", broken)
    client.raise_request_exception = False
    assert sign_up(client, "dana@example.com") == 500
    assert not User.objects.exists()
    assert not Organisation.objects.exists()


def test_fields_beyond_the_form_are_not_taken(client: Client) -> None:
    sign_up(client, "dana@example.com", is_staff="on", is_superuser="on", id="1", organisation="x")
    dana = User.objects.get(email="dana@example.com")
    assert (dana.is_staff, dana.is_superuser) == (False, False)


def test_a_user_without_an_organisation_gets_one_at_the_door(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root@example.com"))
    assert client.get(reverse("keys"))["Location"] == reverse("welcome")
    assert client.get(reverse("welcome")).status_code == 200
    assert client.get(reverse("keys")).status_code == 200


def social(email: str, request: HttpRequest) -> User:
    user = User(email=email)
    login = SocialLogin(
        user=user,
        account=SocialAccount(provider="openid_connect", uid="1"),
        email_addresses=[EmailAddress(email=email, verified=True, primary=True)],
    )
    saved = social_adapter().save_user(request, login)
    assert isinstance(saved, User)
    return saved


@pytest.fixture
def visit(rf: RequestFactory) -> Callable[[], HttpRequest]:
    def make() -> HttpRequest:
        request = rf.get("/")
        request.session = SessionStore()
        request.user = AnonymousUser()
        return request

    return make


def test_a_social_sign_up_has_an_organisation_too(visit: Callable[[], HttpRequest]) -> None:
    user = social("dana@example.com", visit())
    assert user.memberships.get().role == Role.OWNER
    assert not user.has_usable_password()


def test_a_closed_site_takes_no_social_sign_up(
    visit: Callable[[], HttpRequest], settings: Settings
) -> None:
    settings.SIGNUP_OPEN = False
    with pytest.raises(PermissionDenied):
        social("dana@example.com", visit())
    assert not User.objects.exists()


@pytest.fixture
def invited(organisation: Organisation, alice: User) -> str:
    """The address of an invitation for dana@example.com."""
    _invitation, token = flows.invite(organisation, alice, "dana@example.com", Role.DEVELOPER)
    return reverse("invitation", args=[token])


def test_an_invited_stranger_signs_up_and_arrives_at_the_invitation(
    client: Client, invited: str, organisation: Organisation, mailoutbox: Mails, settings: Settings
) -> None:
    settings.SIGNUP_OPEN = False
    entrance = client.get(invited)["Location"]
    assert entrance.startswith(reverse("account_signup"))
    page = client.get(entrance).content.decode()
    assert f"invited to {escape(organisation.name)}, as dana@example.com" in page
    assert 'value="dana@example.com"' in page
    sign_up(client, "dana@example.com", next=invited)
    assert confirm(client, mailoutbox) == invited
    assert client.post(invited)["Location"] == reverse("overview")
    assert organisation.memberships.filter(user__email="dana@example.com").exists()
    assert escape(organisation.name) in client.get(reverse("members")).content.decode()


def test_an_invitation_opens_a_closed_site_for_its_address_alone(
    client: Client, invited: str, settings: Settings
) -> None:
    settings.SIGNUP_OPEN = False
    client.get(invited)
    assert sign_up(client, "evil@example.com") == 403
    fields = {"email": "evil@example.com", "password1": STRONG}
    refused = client.post(reverse("account_signup"), fields)
    assert "This invitation is for another email address" in refused.content.decode()
    assert not User.objects.filter(email="evil@example.com").exists()


def test_without_an_invitation_a_closed_site_is_closed(client: Client, settings: Settings) -> None:
    settings.SIGNUP_OPEN = False
    sign_up(client, "evil@example.com")
    client.get(reverse("invitation", args=["nonsense"]))
    sign_up(client, "evil@example.com")
    assert not User.objects.exists()


def test_an_invited_user_is_asked_to_sign_in(client: Client, invited: str) -> None:
    User.objects.create_user("dana@example.com")
    assert client.get(invited)["Location"].startswith(reverse("account_login"))
    assert client.post(invited)["Location"].startswith(reverse("account_login"))


def test_an_invitation_for_somebody_else_is_refused(
    charlie_client: Client, charlie: User, invited: str
) -> None:
    page = charlie_client.post(invited, follow=True).content.decode()
    assert "another email address" in page
    assert charlie.memberships.count() == 1


@pytest.mark.parametrize("way", ["password", "operator link"])
def test_signing_in_changes_the_session(way: str, client: Client, alice: User) -> None:
    """A session that an attacker fixed before is worth nothing after."""
    session = client.session
    session["planted"] = "yes"
    session.save()
    before = session.session_key
    if way == "password":
        EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
        client.post(reverse("account_login"), {"login": alice.email, "password": PASSWORD})
    else:
        link = operators.make_link()
        client.post(link[link.index("/operator-link/") :])
    assert client.session.session_key != before
    assert "_auth_user_id" in client.session
    assert not Session.objects.filter(session_key=before).exists()


def test_brute_force_is_slowed_down(client: Client, alice: User) -> None:
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    for _ in range(12):
        client.post(reverse("account_login"), {"login": alice.email, "password": "wrong"})
    client.post(reverse("account_login"), {"login": alice.email, "password": PASSWORD})
    assert "_auth_user_id" not in client.session


def test_the_console_has_no_sign_in_of_its_own(client: Client) -> None:
    """Its page would know neither rate limits nor a second factor."""
    answer = client.post(reverse("admin:login"), {"username": "x", "password": "y"})
    assert answer["Location"].startswith(reverse("account_login"))


def test_a_members_session_does_not_open_the_console(alice_client: Client) -> None:
    assert alice_client.get(reverse("admin:index"), follow=True).status_code == 403


def test_a_new_keys_secret_is_in_no_session(alice_client: Client) -> None:
    made = alice_client.post(reverse("key_create"), {"name": "k", "scope": "inference"})
    first = alice_client.post(reverse("welcome"))
    for secret in (made.context["new"]["secret"], first.context["secret"]):
        assert secret not in repr([row.get_decoded() for row in Session.objects.all()])
    assert "no-store" in made["Cache-Control"]
    assert "no-store" in first["Cache-Control"]
