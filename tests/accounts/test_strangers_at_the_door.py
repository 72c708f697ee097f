"""What somebody without an account can do to those who have one: guess, ask, cause mails."""

import itertools
import time
from collections.abc import Callable

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from accounts.models import User
from tests.conftest import STRONG, confirm_password, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unlimited")]
Mails = list[EmailMultiAlternatives]


@pytest.fixture
def minutes_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Four of them at each call, for the limits."""
    began, calls = time.time(), itertools.count(1)

    def passed() -> None:
        now = began + 240 * next(calls)
        monkeypatch.setattr("allauth.core.internal.ratelimit.time.time", lambda: now)

    return passed


class CountingHasher(MD5PasswordHasher):
    algorithm = "counting"
    hashed = 0

    def encode(self, password: str, salt: str) -> str:
        CountingHasher.hashed += 1
        return super().encode(password, salt)


def test_signing_up_takes_as_long_for_an_address_that_has_an_account(
    verified: User, settings: Settings
) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    for email in (verified.email, "dana@example.com"):
        CountingHasher.hashed = 0
        Client().post(reverse("account_signup"), {"email": email, "password1": STRONG})
        assert CountingHasher.hashed == 1, email


@pytest.mark.parametrize("page", ["account_reset_password", "account_signup"])
@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
def test_nobody_is_buried_in_mails(
    page: str, email: str, verified: User, mailoutbox: Mails, minutes_pass: Callable[[], None]
) -> None:
    for number in range(40):
        minutes_pass()
        fields = {"email": email, "password1": STRONG}
        client = Client(REMOTE_ADDR=f"198.51.100.{number}")
        assert client.post(reverse(page), fields).status_code in {302, 429}
    assert 1 <= len(mailoutbox) <= 20


def test_whoever_is_told_to_wait_is_told_on_a_page_of_ours() -> None:
    for _ in range(6):
        answer = Client().post(reverse("account_reset_password"), {"email": "nobody@example.com"})
    assert answer.status_code == 429
    assert "Wait a minute" in answer.content.decode()


def test_who_has_an_account_sends_no_mails_to_a_crowd(
    verified: User, mailoutbox: Mails, minutes_pass: Callable[[], None]
) -> None:
    client = signed_in(verified)
    for number in range(60):
        minutes_pass()
        confirm_password(client)
        added = {"email": f"{number}@example.com", "action_add": ""}
        client.post(reverse("account_email"), added)
    assert 1 <= len(mailoutbox) <= 30


def test_whose_address_is_added_by_somebody_is_told_of_no_new_account(
    verified: User, mailoutbox: Mails
) -> None:
    """It may be a stranger's, to whom "no account is opened" would say nothing."""
    added = {"email": "second@example.com", "action_add": ""}
    client = signed_in(verified)
    confirm_password(client)
    client.post(reverse("account_email"), added)
    [told] = mailoutbox
    for text in (told.body, told.alternatives[0][0]):
        assert "Confirm that this address is yours, to use it with your account" in str(text)
        assert "opened" not in str(text)


def test_a_crowd_does_not_push_out_what_is_remembered_of_wrong_passwords(verified: User) -> None:
    def wrong(email: str, number: int) -> bool:
        """Whether it was refused for having been tried too often."""
        client = Client(REMOTE_ADDR=f"10.{number // 250}.0.{number % 250}")
        fields = {"login": email, "password": "wrong"}
        return "Too many" in client.post(reverse("account_login"), fields).content.decode()

    assert [wrong(verified.email, number) for number in range(7)][-1]
    for number in range(200):
        wrong(f"{number}@example.com", 1000 + number)
    assert wrong(verified.email, 999)


@pytest.mark.parametrize(
    ("page", "path"),
    [("account_reset_password", "/accounts/password/reset/key/"),
     ("account_signup", "/accounts/password/reset/")],
)  # fmt: skip
def test_a_link_in_a_mail_leads_home_whatever_host_was_asked(
    page: str, path: str, verified: User, mailoutbox: Mails, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("BASE_URL", "https://ai.example.com")
    settings.BASE_URL, settings.ALLOWED_HOSTS = "https://ai.example.com", [".example.com"]
    fields = {"email": verified.email, "password1": STRONG}
    answer = Client().post(reverse(page), fields, headers={"host": "other.example.com:99"})
    assert answer.status_code == 302
    [mail] = mailoutbox
    for text in (str(mail.body), str(mail.alternatives[0][0])):
        assert f"https://ai.example.com{path}" in text
        assert "other.example.com" not in text
