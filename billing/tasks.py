"""Celery tasks of billing and their schedule: sweeps and webhooks."""

from typing import Any

from celery import shared_task
from django.conf import settings

from billing import ledger, webhooks

BEAT_SCHEDULE: dict[str, Any] = {
    "sweep-holds": {"task": "billing.tasks.sweep_holds", "schedule": settings.HOLD_SWEEP_S},
    "reprocess-webhooks": {"task": "billing.tasks.reprocess_webhooks", "schedule": 30.0},
}


@shared_task
def sweep_holds() -> None:
    ledger.sweep()


@shared_task
def process_webhook(delivery_id: int) -> None:
    webhooks.process(delivery_id)


@shared_task
def reprocess_webhooks() -> None:
    for delivery_id in webhooks.unprocessed():
        webhooks.process(delivery_id)
