"""Celery tasks of billing and their schedule: sweeps, alerts and webhooks."""

from typing import Any

from celery import shared_task
from django.conf import settings

from billing import alert_posts, alerts, ledger, webhooks

BEAT_SCHEDULE: dict[str, Any] = {
    "sweep-holds": {"task": "billing.tasks.sweep_holds", "schedule": settings.HOLD_SWEEP_S},
    "check-alerts": {"task": "billing.tasks.check_alerts", "schedule": 30.0},
    "reprocess-webhooks": {"task": "billing.tasks.reprocess_webhooks", "schedule": 30.0},
}


@shared_task
def sweep_holds() -> None:
    ledger.sweep()


@shared_task
def check_alerts() -> None:
    """Open and close alerts, and post those whose turn has come, each in a job of its own."""
    alerts.check_all()
    for alert_id in alert_posts.waiting():
        post_alert.delay(alert_id)


@shared_task
def post_alert(alert_id: str) -> None:
    alert_posts.deliver(alert_id)


@shared_task
def process_webhook(delivery_id: int) -> None:
    webhooks.process(delivery_id)


@shared_task
def reprocess_webhooks() -> None:
    for delivery_id in webhooks.unprocessed():
        webhooks.process(delivery_id)
