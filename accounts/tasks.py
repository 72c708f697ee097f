"""Celery tasks of accounts and their schedule: mail, what is over, and new keys for old seals."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts import mail, second_factors

BEAT_SCHEDULE: dict[str, Any] = {
    "deliver-waiting-mail": {"task": "accounts.tasks.deliver_waiting_mail", "schedule": 30.0},
    "forget-what-is-over": {"task": "accounts.tasks.forget_what_is_over", "schedule": 3600.0},
    "seal-second-factors": {"task": "accounts.tasks.seal_second_factors", "schedule": 3600.0},
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
    """Sessions that have ended by themselves, from where they were used, and old mails."""
    SessionStore.clear_expired()
    forget_places_of_sessions()
    mail.forget_old()


@shared_task
def seal_second_factors() -> None:
    """After a rotation of SECRET_KEY, and those from before they were sealed."""
    second_factors.seal_anew()


def forget_places_of_sessions() -> None:
    """Of those that are over, allauth's rows with their addresses and browsers.

    The library forgets them only when their owner looks at the list.
    """
    # Not by NOT IN: PostgreSQL would look through all of them for each row.
    live = Session.objects.filter(session_key=OuterRef("session_key"))
    # One that is just beginning may be written after its row.
    old = UserSession.objects.filter(created_at__lt=timezone.now() - timedelta(days=1))
    old.exclude(Exists(live)).delete()
