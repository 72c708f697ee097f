"""Celery tasks of accounts and their schedule: mail, and what is over."""

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
    mail.deliver(mail_id)


@shared_task
def deliver_waiting_mail() -> None:
    """Pick up what a lost broker, a dead worker or a refusing mail server left behind."""
    for mail_id in mail.waiting():
        mail.deliver(mail_id)


@shared_task
def forget_what_is_over() -> None:
    """Sessions that have ended by themselves, and old mails."""
    SessionStore.clear_expired()
    mail.forget_sent()
