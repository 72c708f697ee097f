"""Every mail is in its recipient's language, whoever causes it."""

from types import SimpleNamespace

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.functional import lazy
from django.utils.translation import get_language

from accounts import languages
from accounts.models import Membership, Organisation, User
from billing import alerts, notices
from billing.models import Alert, AlertKind
from tests.conftest import PASSWORD
from tests.portal.english import english_in, is_english

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unlimited")]
Mails = list[EmailMultiAlternatives]
ENGLISH, CHINESE = {"HTTP_ACCEPT_LANGUAGE": "en"}, {"HTTP_ACCEPT_LANGUAGE": "zh-CN"}


def html_of(mail: EmailMultiAlternatives) -> str:
    [(html, _kind)] = mail.alternatives
    return str(html)


def test_a_persons_language_begins_as_that_of_the_page_they_signed_up_on(
    client: Client, mailoutbox: Mails
) -> None:
    fields = {"email": "dana@example.com", "password1": "a strong pass phrase 9"}
    client.post(reverse("account_signup"), fields, **CHINESE)
    assert User.objects.get(email="dana@example.com").language == "zh-hans"
    [mail] = mailoutbox
    assert '<html lang="zh-hans">' in html_of(mail)


def test_a_password_reset_is_in_the_language_of_the_account(
    client: Client, alice: User, mailoutbox: Mails
) -> None:
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    User.objects.update(language="zh-hans")
    client.post(reverse("account_reset_password"), {"email": alice.email}, **ENGLISH)
    [mail] = mailoutbox
    assert '<html lang="zh-hans">' in html_of(mail)


def test_an_invitation_is_in_the_language_of_the_invited_else_of_who_invites(
    client: Client, organisation: Organisation, alice: User, charlie: User, mailoutbox: Mails
) -> None:
    client.force_login(alice)
    User.objects.filter(pk=charlie.pk).update(language="zh-hans")
    for email in (charlie.email, "stranger@example.com"):
        client.post(reverse("member_invite"), {"email": email, "role": "developer"}, **ENGLISH)
    known, stranger = mailoutbox
    assert '<html lang="zh-hans">' in html_of(known)
    assert '<html lang="en">' in html_of(stranger)
    assert stranger.subject == "Join Acme on Parlance"


def test_each_payer_reads_of_money_in_their_own_language(
    organisation: Organisation, alice: User, bob: User, mailoutbox: Mails
) -> None:
    """As a job sends it: no browser asked for anything."""
    User.objects.filter(pk=alice.pk).update(language="zh-hans")
    Membership.objects.filter(user=bob).update(role="billing")
    notices.send_to_payers(organisation, "alert", sentence="!")
    by_recipient = {mail.to[0]: html_of(mail) for mail in mailoutbox}
    assert '<html lang="zh-hans">' in by_recipient[alice.email]
    assert '<html lang="en">' in by_recipient[bob.email]
    assert get_language() == "en", "the job's own language is as it was"


def test_an_address_is_found_however_it_is_spelt_and_a_strangers_is_english(alice: User) -> None:
    User.objects.update(language="zh-hans")
    with translation.override(None):
        assert languages.of_address(alice.email.upper()) == "zh-hans"
        assert languages.of_address("nobody@example.com") == "en"


@pytest.fixture
def chinese_alice(alice: User) -> User:
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    User.objects.filter(pk=alice.pk).update(language="zh-hans")
    return alice


def test_mails_about_an_account_have_no_english_in_them(
    client: Client, chinese_alice: User, mailoutbox: Mails
) -> None:
    fields = {"password1": "a strong pass phrase 9"}
    for email in ("dana@example.com", chinese_alice.email):  # one new, one that is there
        client.post(reverse("account_signup"), {"email": email, **fields}, **CHINESE)
    for email in (chinese_alice.email, "nobody@example.com"):
        client.post(reverse("account_reset_password"), {"email": email}, **CHINESE)
    client.force_login(chinese_alice, backend="django.contrib.auth.backends.ModelBackend")
    changed = {"oldpassword": PASSWORD, "password1": "another pass phrase 9"}
    client.post(
        reverse("account_change_password"), {**changed, "password2": "another pass phrase 9"}
    )
    assert len(mailoutbox) == 5
    check_chinese(mailoutbox)


def test_mails_about_money_have_no_english_in_them(
    organisation: Organisation, chinese_alice: User, mailoutbox: Mails
) -> None:
    top_up = SimpleNamespace(amount_nanos=10**9)
    for state in ("active", "needs_address", "needs_consent", "stopped"):
        notices.send_to_payers(organisation, "top_up_failed", top_up=top_up, state=state)
    notices.send_to_payers(organisation, "payment_disputed", dispute=top_up)
    alert = Alert(kind=AlertKind.BALANCE, threshold=10**9, value_nanos=0)
    notices.send_to_payers(organisation, "alert", sentence=lazy(alerts.sentence, str)(alert))
    assert len(mailoutbox) == 6
    assert "US$1.00" in mailoutbox[0].subject
    check_chinese(mailoutbox)


def check_chinese(mails: Mails) -> None:
    for mail in mails:
        texts = [mail.subject, *str(mail.body).splitlines()]
        assert any("\u4e00" <= letter <= "\u9fff" for letter in mail.subject)
        assert [text for text in texts if is_english(text.strip())] == []
        assert english_in(html_of(mail)) == []
        assert html_of(mail).count("Parlance ·") == 1  # one signature, the page's own
