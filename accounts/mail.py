"""Mail: stored as a row in the same transaction as its cause, then delivered by a task.

`OutboxBackend` is Django's e-mail backend, so everything that sends mail goes through it.
`deliver` sends one row through `settings.MAIL_TRANSPORT` (SMTP, or the terminal without a mail
server); it claims the row first, so two workers never send the same mail at once.

A worker that dies after the server took the mail and before the row says so leaves a mail that is
sent again; SMTP can tell no better. Both copies carry one Message-ID, by which mailboxes drop one.
"""

import logging
import smtplib
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from accounts.models import OutgoingMail

logger = logging.getLogger(__name__)

RETRY_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=3),
    timedelta(hours=12),
)
# The last comes some five days after the first; mail servers, too, give up then (RFC 5321, 4.5.4).
MAX_ATTEMPTS = 14
# What a server says of one mail. Anything else the next mail would meet, too.
REFUSALS = (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError)
# While a worker sends, nobody else takes the mail; a worker that died gives it up after this long.
CLAIM = timedelta(minutes=2)
# What was sent or given up holds addresses, and links that let their readers in.
KEPT = timedelta(days=30)


class MailServerAwayError(Exception):
    """It cannot be reached, or lets us send nothing."""


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
    """Send one stored mail; False when it is not its turn, or the server refused it.

    Raises MailServerAwayError. Either way the row says why, and when its next turn is.
    """
    now = timezone.now()
    if not _due(now).filter(pk=mail_id).update(next_attempt_at=now + CLAIM):
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
    except (*REFUSALS, ValueError) as error:  # bad headers are ValueErrors
        _postpone(mail, error)
        return False
    except OSError as error:  # smtplib's are OSErrors
        _postpone(mail, error)
        logger.warning("mails wait for their server: %s", error)
        raise MailServerAwayError(str(error)) from error
    OutgoingMail.objects.filter(pk=mail_id).update(
        sent_at=timezone.now(), attempts=mail.attempts + 1, error=""
    )
    return True


def deliver_waiting() -> None:
    """Send what waits, oldest first, while there is a server that takes mail."""
    for mail_id in waiting():
        try:
            deliver(mail_id)
        except MailServerAwayError:
            return  # each of the others would wait as long for it


def _postpone(mail: OutgoingMail, error: Exception) -> None:
    wait = RETRY_AFTER[min(mail.attempts, len(RETRY_AFTER) - 1)]
    OutgoingMail.objects.filter(pk=mail.pk).update(
        attempts=mail.attempts + 1, next_attempt_at=timezone.now() + wait, error=str(error)[:500]
    )


def _message_id(mail: OutgoingMail) -> str:
    """The same for every attempt, whichever machine makes it.

    The time keeps it apart from mails of an earlier database.
    """
    domain = parseaddr(mail.sender)[1].rpartition("@")[2] or "localhost"
    return f"<{mail.pk}.{mail.created_at.timestamp():.6f}@{domain}>"


def _due(now: datetime) -> QuerySet[OutgoingMail]:
    unsent = OutgoingMail.objects.filter(sent_at=None, attempts__lt=MAX_ATTEMPTS)
    return unsent.filter(next_attempt_at__lte=now)


def waiting() -> list[int]:
    """Mails whose turn has come, oldest first."""
    return list(_due(timezone.now()).order_by("pk").values_list("pk", flat=True)[:500])


def backlog() -> tuple[int, datetime | None]:
    """How many mails are still to be sent, and when the first of them is tried (again)."""
    unsent = OutgoingMail.objects.filter(sent_at=None, attempts__lt=MAX_ATTEMPTS)
    found = unsent.aggregate(num=Count("pk"), due=Min("next_attempt_at"))
    return found["num"], found["due"]


def try_again(mails: QuerySet[OutgoingMail]) -> int:
    """Let what was not sent wait as at first, given up or not; how many."""
    unsent = mails.filter(sent_at=None)
    return unsent.update(attempts=0, next_attempt_at=timezone.now())


def forget_old() -> None:
    """Delete what was sent, or given up, long ago; what waits is still to be sent."""
    old = timezone.now() - KEPT
    given_up = Q(attempts__gte=MAX_ATTEMPTS, next_attempt_at__lt=old, sent_at=None)
    OutgoingMail.objects.filter(Q(sent_at__lt=old) | given_up).delete()
