"""Celery tasks of accounts and their schedule: mail, and what is over."""

from contextlib import suppress
from typing import Any

from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from accounts import mail

BEAT_SCHEDULE: dict[str, Any] = {
    "deliver-waiting-mail": {"task": "accounts.tasks.deliver_waiting_mail", "schedule": 30.0},
    "forget-what-is-over": {"task": "accounts.tasks.forget_what_is_over", "schedule": 3600.0},
}


@shared_task
def deliver_mail(mail_id: int) -> None:
    with suppress(mail.MailServerAwayError):  # the row says so
        mail.deliver(mail_id)


@shared_task
def deliver_waiting_mail() -> None:
    """Pick up what a lost broker, a dead worker or a refusing mail server left behind."""
    mail.deliver_waiting()


@shared_task
def forget_what_is_over() -> None:
    """Sessions that have ended by themselves, and old mails."""
    SessionStore.clear_expired()
    mail.forget_old()
