"""Sign-up to sign-out through allauth, on our pages and in our mails."""

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import LazySettings
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives
from django.test import Client

from accounts.models import User
from tests.conftest import PASSWORD, STRONG
from tests.portal.pages.test_every_page import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unlimited")]


def sign_in(client: Client, user: User) -> None:
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})


def link_in(mail: EmailMultiAlternatives, start: str) -> str:
    found = re.search(rf"https?://[^/\s]+({start}\S+)", str(mail.body))
    assert found is not None, mail.body
    return found.group(1)


def clean(client: Client, path: str) -> str:
    html = client.get(path, follow=True).content.decode()
    page = Page(html)
    assert page.problems == []
    assert page.unlabelled() == []
    assert page.headings.count("h1") == 1
    return html


def test_sign_up_confirm_and_arrive(
    client: Client, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    fields = {"email": "dana@example.com", "password1": STRONG}
    response = client.post("/accounts/signup/", fields, follow=True)
    assert "Check your mail" in response.content.decode()
    (mail,) = mailoutbox
    assert "Confirm your address" in str(mail.subject)
    assert len(mail.alternatives) == 1, "an HTML part"
    path = link_in(mail, "/accounts/confirm-email/")
    assert path in str(mail.alternatives[0][0])
    assert "dana@example.com" in clean(client, path)
    arrived = client.post(path)
    assert arrived.status_code == 302
    assert arrived["Location"] == "/welcome/"
    assert User.objects.get(email="dana@example.com").is_authenticated


def test_a_confirmation_link_that_is_wrong_says_what_to_do(client: Client) -> None:
    assert "has expired" in clean(client, "/accounts/confirm-email/nonsense/")


def test_a_taken_address_is_told_by_mail_alone(
    client: Client, verified: User, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    fields = {"email": verified.email, "password1": STRONG}
    response = client.post("/accounts/signup/", fields, follow=True)
    assert "Check your mail" in response.content.decode()
    assert "already have an account" in str(mailoutbox[0].subject)


def test_a_weak_password_is_explained_beside_its_field(client: Client) -> None:
    response = client.post("/accounts/signup/", {"email": "e@example.com", "password1": "password"})
    html = response.content.decode()
    assert "too common" in html
    assert 'aria-invalid="true"' in html
    assert Page(html).problems == []


def test_a_wrong_password_says_the_same_as_an_unknown_address(
    client: Client, verified: User
) -> None:
    def message(login: str) -> str:
        cache.clear()
        page = client.post("/accounts/login/", {"login": login, "password": "wrong"})
        found = re.search(r'role="alert">.*?<p>(.*?)</p>', page.content.decode(), re.DOTALL)
        assert found is not None
        return found.group(1)

    assert message(verified.email) == message("nobody@example.com")


def test_the_password_reset_works_once(
    client: Client, verified: User, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    client.post("/accounts/password/reset/", {"email": verified.email})
    (mail,) = mailoutbox
    path = link_in(mail, "/accounts/password/reset/key/")
    form = client.get(path, follow=True)
    address = form.request["PATH_INFO"]
    assert "Choose a new password" in form.content.decode()
    done = client.post(address, {"password1": STRONG, "password2": STRONG}, follow=True)
    assert done.status_code == 200
    verified.refresh_from_db()
    assert verified.check_password(STRONG)
    assert "no longer works" in Client().get(path, follow=True).content.decode()


def test_an_unknown_address_gets_the_same_page_at_reset(
    client: Client, verified: User, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    pages = [
        client.post("/accounts/password/reset/", {"email": address}, follow=True).request[
            "PATH_INFO"
        ]
        for address in (verified.email, "nobody@example.com")
    ]
    assert pages[0] == pages[1] == "/accounts/password/reset/done/"
    assert len(mailoutbox) == 2
    assert "No account" in str(mailoutbox[1].subject)


def test_the_second_step_is_asked_and_takes_a_recovery_code(client: Client, verified: User) -> None:
    TOTP.activate(verified, "JBSWY3DPEHPK3PXP")
    codes = RecoveryCodes.activate(verified)
    response = client.post(
        "/accounts/login/", {"login": verified.email, "password": PASSWORD}, follow=True
    )
    html = response.content.decode()
    assert "Second step" in html
    assert "Use a security key" in html
    assert Page(html).problems == []
    done = client.post("/accounts/2fa/authenticate/", {"code": codes.get_unused_codes()[0]})
    assert done.status_code == 302
    assert client.get("/accounts/2fa/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/2fa/totp/activate/",
        "/accounts/2fa/webauthn/add/",
        "/accounts/2fa/webauthn/",
        "/accounts/2fa/recovery-codes/generate/",
        "/accounts/2fa/recovery-codes/",
        "/accounts/reauthenticate/",
        "/accounts/sessions/",
        "/accounts/email/",
        "/accounts/password/change/",
    ],
)
def test_the_security_pages_are_clean(client: Client, verified: User, path: str) -> None:
    sign_in(client, verified)
    if "recovery" in path:
        TOTP.activate(verified, "JBSWY3DPEHPK3PXP")
        RecoveryCodes.activate(verified)
        Authenticator.objects.filter(user=verified, type="totp").exists()
    clean(client, path)


def test_changing_the_password_is_told_by_mail(
    client: Client, verified: User, mailoutbox: list[EmailMultiAlternatives]
) -> None:
    sign_in(client, verified)
    fields = {"oldpassword": PASSWORD, "password1": STRONG, "password2": STRONG}
    assert client.post("/accounts/password/change/", fields).status_code == 302
    (mail,) = mailoutbox
    assert "If this was not you" in str(mail.body)
    assert "127.0.0.1" in str(mail.body)


def test_signing_out_needs_a_press(client: Client, verified: User) -> None:
    sign_in(client, verified)
    assert "Sign out?" in clean(client, "/accounts/logout/")
    assert client.get("/accounts/email/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/accounts/email/").status_code == 302


def test_a_site_may_close_its_sign_up(client: Client, settings: LazySettings) -> None:
    settings.SIGNUP_OPEN = False
    html = client.get("/").content.decode()
    assert "/accounts/signup/" not in html
    assert "Sign-up is closed" in client.get("/accounts/signup/").content.decode()


def test_an_open_session_alone_takes_no_account_away(client: Client, verified: User) -> None:
    """By an address of one's own, to which a new password is sent then."""
    sign_in(client, verified)
    page = "/accounts/email/"
    asked = client.post(page, {"action_add": "", "email": "mine@example.com"})
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    wrong = client.post("/accounts/reauthenticate/", {"password": "wrong", "next": page})
    assert wrong.status_code == 200
    assert not EmailAddress.objects.filter(email="mine@example.com").exists()
    done = client.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": page})
    assert done["Location"] == page
    assert EmailAddress.objects.filter(email="mine@example.com", user=verified).exists()
