"""Mail: stored as a row in the same transaction as its cause, then delivered by a task.

`OutboxBackend` is Django's e-mail backend, so everything that sends mail goes through it.
`deliver` sends one row through `settings.MAIL_TRANSPORT` (SMTP, or the terminal without a mail
server); it claims the row first, so two workers never send the same mail at once.

A worker that dies after the server took the mail and before the row says so leaves a mail that is
sent again; SMTP can tell no better. Both copies carry one Message-ID, by which mailboxes drop one.
"""

import sys
from collections.abc import Sequence
from datetime import timedelta
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.utils import timezone

from accounts.models import OutgoingMail

RETRY_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=3),
    timedelta(hours=12),
)
# While a worker sends, nobody else takes the mail; a worker that died gives it up after this long.
CLAIM = timedelta(minutes=2)
# What was sent holds addresses, and links that let their readers in.
KEPT = timedelta(days=30)


def signature() -> dict[str, str]:
    """What the foot of every mail names; templates of pages have it from a context processor."""
    return {
        "SITE_NAME": settings.SITE_NAME,
        "BASE_URL": settings.BASE_URL,
        "SUPPORT_EMAIL": settings.SUPPORT_EMAIL,
    }


class OutboxBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        from accounts.tasks import deliver_mail  # tasks import this module

        mails = [store(message) for message in email_messages]

        def enqueue() -> None:
            for mail in mails:
                deliver_mail.delay(mail.pk)

        # Robust: without a broker the page still works, and beat picks the rows up later.
        transaction.on_commit(enqueue, robust=True)
        return len(mails)


class TerminalBackend(BaseEmailBackend):
    """Without a mail server: the text of each mail, for whoever started the site."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            head = f"Mail to {', '.join(message.recipients())}: {message.subject}"
            sys.stdout.write(f"\n--- {head} ---\n\n{str(message.body).strip()}\n\n---\n\n")
        sys.stdout.flush()
        return len(email_messages)


def store(message: EmailMessage) -> OutgoingMail:
    html = ""
    if isinstance(message, EmailMultiAlternatives):
        html = next((str(each[0]) for each in message.alternatives if each[1] == "text/html"), "")
    return OutgoingMail.objects.create(
        subject=str(message.subject),
        sender=message.from_email or settings.DEFAULT_FROM_EMAIL,
        recipients=message.recipients(),
        text=str(message.body),
        html=html,
    )


def deliver(mail_id: int) -> bool:
    """Send one stored mail; False when it is sent already, claimed, or the transport failed."""
    now = timezone.now()
    claimed = OutgoingMail.objects.filter(
        pk=mail_id, sent_at=None, next_attempt_at__lte=now
    ).update(next_attempt_at=now + CLAIM)
    if not claimed:
        return False
    mail = OutgoingMail.objects.get(pk=mail_id)
    message = EmailMultiAlternatives(
        mail.subject, mail.text, mail.sender, mail.recipients,
        headers={"Message-ID": _message_id(mail)},
    )  # fmt: skip
    if mail.html:
        message.attach_alternative(mail.html, "text/html")
    try:
        with get_connection(settings.MAIL_TRANSPORT) as connection:
            connection.send_messages([message])
    except (OSError, ValueError) as error:  # smtplib's are OSErrors, bad headers ValueErrors
        wait = RETRY_AFTER[min(mail.attempts, len(RETRY_AFTER) - 1)]
        OutgoingMail.objects.filter(pk=mail_id).update(
            attempts=mail.attempts + 1, next_attempt_at=now + wait, error=str(error)[:500]
        )
        return False
    OutgoingMail.objects.filter(pk=mail_id).update(
        sent_at=timezone.now(), attempts=mail.attempts + 1, error=""
    )
    return True


def _message_id(mail: OutgoingMail) -> str:
    """The same for every attempt, whichever machine makes it.

    The time keeps it apart from mails of an earlier database.
    """
    domain = parseaddr(mail.sender)[1].rpartition("@")[2] or "localhost"
    return f"<{mail.pk}.{mail.created_at.timestamp():.6f}@{domain}>"


def waiting() -> list[int]:
    """Mails whose turn has come, oldest first."""
    due = OutgoingMail.objects.filter(sent_at=None, next_attempt_at__lte=timezone.now())
    return list(due.order_by("pk").values_list("pk", flat=True)[:500])


def forget_sent() -> None:
    """Delete what was sent long ago; what was not is still to be sent."""
    OutgoingMail.objects.filter(sent_at__lt=timezone.now() - KEPT).delete()
