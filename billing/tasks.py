"""Celery tasks of billing and their schedule: sweeps, webhooks, roll-ups."""

from typing import Any

from celery import shared_task
from django.conf import settings

from billing import ledger

BEAT_SCHEDULE: dict[str, Any] = {
    "sweep-holds": {"task": "billing.tasks.sweep_holds", "schedule": settings.HOLD_SWEEP_S},
}


@shared_task
def sweep_holds() -> None:
    ledger.sweep()
