"""Mail is a row first; a task sends it once, and tries again when the server refuses."""

import smtplib
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.core import mail as django_mail
from django.core.mail import EmailMultiAlternatives, get_connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import mail, tasks
from accounts.models import OutgoingMail

pytestmark = pytest.mark.django_db
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def stored(settings: Settings) -> OutgoingMail:
    settings.MAIL_TRANSPORT = LOCMEM
    message = EmailMultiAlternatives("Hello", "text", "us@example.com", ["you@example.com"])
    message.attach_alternative("<p>html</p>", "text/html")
    message.connection = get_connection("accounts.mail.OutboxBackend")
    assert message.send() == 1
    return OutgoingMail.objects.get()


def test_sending_stores_a_row(stored: OutgoingMail) -> None:
    assert (stored.subject, stored.text, stored.html) == ("Hello", "text", "<p>html</p>")
    assert stored.recipients == ["you@example.com"]
    assert stored.sent_at is None


def test_delivery_happens_once(stored: OutgoingMail) -> None:
    assert mail.deliver(stored.pk)
    assert not mail.deliver(stored.pk)
    assert len(django_mail.outbox) == 1
    assert django_mail.outbox[0].to == ["you@example.com"]
    assert mail.waiting() == []


def test_a_mail_that_is_sent_again_is_the_same_message(stored: OutgoingMail) -> None:
    """Its worker died between the server's yes and our note of it."""
    for _attempt in range(2):
        OutgoingMail.objects.update(sent_at=None, next_attempt_at=timezone.now())
        assert mail.deliver(stored.pk)
    first, second = (sent.message()["Message-ID"] for sent in django_mail.outbox)
    assert first == second
    assert first.endswith("@example.com>"), "another machine would give it another name"
    other = OutgoingMail.objects.create(sender="us@example.com", recipients=["you@example.com"])
    assert mail.deliver(other.pk)
    assert django_mail.outbox[-1].message()["Message-ID"] != first


def test_without_a_mail_server_the_terminal_shows_the_text_alone(
    stored: OutgoingMail, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.MAIL_TRANSPORT = "accounts.mail.TerminalBackend"
    assert mail.deliver(stored.pk)
    shown = capsys.readouterr().out
    assert "Mail to you@example.com: Hello" in shown
    assert "\ntext\n" in shown
    assert "<p>" not in shown


def test_a_refused_mail_waits_and_is_tried_again(
    stored: OutgoingMail, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:

        def refuse(*_args: object) -> None:
            raise ConnectionRefusedError("no mail server")

        broken.setattr(f"{LOCMEM}.send_messages", refuse)
        with pytest.raises(mail.MailServerAwayError, match="no mail server"):
            mail.deliver(stored.pk)
    stored.refresh_from_db()
    assert "no mail server" in stored.error
    assert stored.next_attempt_at > timezone.now()
    assert mail.waiting() == []
    OutgoingMail.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    assert mail.waiting() == [stored.pk]
    assert mail.deliver(stored.pk)


class Server:
    """What a mail server says to each mail, by its address."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.says: dict[str, Exception] = {}
        self.asked: list[str] = []
        patch.setattr(f"{LOCMEM}.send_messages", lambda _backend, mails: self.send(mails))

    def send(self, messages: list[EmailMultiAlternatives]) -> None:
        [address] = messages[0].to
        self.asked.append(address)
        if address in self.says:
            raise self.says[address]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Server:
    settings.MAIL_TRANSPORT = LOCMEM
    return Server(monkeypatch)


def to(*addresses: str) -> None:
    for address in addresses:
        OutgoingMail.objects.create(sender="us@example.com", recipients=[address])


def test_nobody_waits_for_a_server_that_is_away_once_for_each_mail(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", mail.logger.name)
    to("a@example.com", "b@example.com", "c@example.com")
    server.says = {f"{name}@example.com": TimeoutError("timed out") for name in "abc"}
    mail.deliver_waiting()
    assert server.asked == ["a@example.com"]
    assert len(mail.waiting()) == 2
    assert caplog.messages == ["mails wait for their server: timed out"]
    server.says = {}
    mail.deliver_waiting()
    assert server.asked[1:] == ["b@example.com", "c@example.com"]


def test_a_mail_that_is_refused_keeps_none_behind_it(server: Server) -> None:
    to("gone@example.com", "b@example.com")
    unknown = {"gone@example.com": (550, b"no such user")}
    server.says = {"gone@example.com": smtplib.SMTPRecipientsRefused(unknown)}
    mail.deliver_waiting()
    assert server.asked == ["gone@example.com", "b@example.com"]
    assert "no such user" in OutgoingMail.objects.get(sent_at=None).error


def test_what_is_never_taken_is_given_up_after_five_days_and_forgotten_after_a_month(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    to("gone@example.com")
    server.says = {"gone@example.com": smtplib.SMTPDataError(554, b"spam")}
    start = timezone.now()
    tried = []
    for minutes in range(0, 7 * 24 * 60, 30):
        monkeypatch.setattr(timezone, "now", lambda m=minutes: start + timedelta(minutes=m))
        if mail.waiting():
            mail.deliver_waiting()
            tried.append(minutes)
    assert len(tried) == len(server.asked) == mail.MAX_ATTEMPTS
    assert timedelta(days=4.5) < timedelta(minutes=tried[-1]) < timedelta(days=5.5)
    for days, left in ((30, 1), (40, 0)):
        monkeypatch.setattr(timezone, "now", lambda d=days: start + timedelta(days=d))
        tasks.forget_what_is_over()
        assert OutgoingMail.objects.count() == left


def test_an_operator_lets_what_was_given_up_wait_again(
    admin_client: Client, stored: OutgoingMail
) -> None:
    OutgoingMail.objects.update(attempts=mail.MAX_ATTEMPTS)
    sent = OutgoingMail.objects.create(
        sender="us@example.com", recipients=["you@example.com"], sent_at=timezone.now()
    )
    assert mail.waiting() == []
    answer = admin_client.post(
        "/operator/accounts/outgoingmail/",
        {"action": "try_again", "_selected_action": [stored.pk, sent.pk]},
        follow=True,
    )
    assert "Waiting to be sent: 1" in answer.text
    assert mail.waiting() == [stored.pk]


def test_a_claimed_mail_is_left_to_its_claimer(stored: OutgoingMail) -> None:
    OutgoingMail.objects.update(next_attempt_at=timezone.now() + mail.CLAIM)
    assert not mail.deliver(stored.pk)


@pytest.mark.django_db(transaction=True)
def test_without_a_broker_the_mail_waits_and_nobody_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: object) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr("accounts.tasks.deliver_mail.delay", away)
    message = EmailMultiAlternatives("Hello", "text", "us@example.com", ["you@example.com"])
    message.connection = get_connection("accounts.mail.OutboxBackend")
    assert message.send() == 1
    assert mail.waiting() == [OutgoingMail.objects.get().pk]


def test_a_mail_with_a_bad_header_holds_up_no_other(stored: OutgoingMail) -> None:
    bad = OutgoingMail.objects.create(
        subject="two\nlines", sender="us@example.com", recipients=["you@example.com"], text="t"
    )
    assert not mail.deliver(bad.pk)
    bad.refresh_from_db()
    assert "newline" in bad.error
    assert mail.waiting() == [stored.pk]


def test_what_was_sent_long_ago_is_forgotten_and_what_waits_is_not(stored: OutgoingMail) -> None:
    waits = OutgoingMail.objects.create(sender="us@example.com", recipients=["you@example.com"])
    assert mail.deliver(stored.pk)
    for days, left in ((29, {stored.pk, waits.pk}), (31, {waits.pk})):
        OutgoingMail.objects.filter(pk=stored.pk).update(
            sent_at=timezone.now() - timedelta(days=days)
        )
        OutgoingMail.objects.filter(pk=waits.pk).update(
            created_at=timezone.now() - timedelta(days=days)
        )
        tasks.forget_what_is_over()
        assert set(OutgoingMail.objects.values_list("pk", flat=True)) == left


def test_sessions_that_are_over_are_forgotten(alice_client: Client, bob_client: Client) -> None:
    over = Session.objects.filter(pk=alice_client.session.session_key)
    over.update(expire_date=timezone.now() - timedelta(seconds=1))
    tasks.forget_what_is_over()
    assert [each.pk for each in Session.objects.all()] == [bob_client.session.session_key]
