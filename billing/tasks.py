"""Celery tasks of billing and their schedule: holds, alerts, webhooks, what is done at Stripe."""

import logging
from typing import Any

from celery import shared_task
from celery.schedules import crontab
from django.conf import settings
from django.db import Error as DatabaseError

from billing import (
    alert_posts,
    alerts,
    autotopup,
    closing,
    ledger,
    postpaid,
    pulse,
    reconciliation,
    refunds,
    webhooks,
)

logger = logging.getLogger(__name__)

BEAT_SCHEDULE: dict[str, Any] = {
    "sweep-holds": {"task": "billing.tasks.sweep_holds", "schedule": settings.HOLD_SWEEP_S},
    "check-alerts": {"task": "billing.tasks.check_alerts", "schedule": 30.0},
    "reprocess-webhooks": {"task": "billing.tasks.reprocess_webhooks", "schedule": 30.0},
    "catch-up": {"task": "billing.tasks.catch_up", "schedule": 600.0},
    "finish-closings": {"task": "billing.tasks.finish_closings", "schedule": 30.0},
    "reconcile": {"task": "billing.tasks.reconcile", "schedule": crontab(hour=3, minute=20)},
    "seal-alert-secrets": {"task": "billing.tasks.seal_alert_secrets", "schedule": 3600.0},
    "send-refunds": {"task": "billing.tasks.send_refunds", "schedule": 60.0},
    "tell-usage": {"task": "billing.tasks.tell_usage", "schedule": 60.0},
    "top-up": {"task": "billing.tasks.top_up", "schedule": 30.0},
}


@shared_task
def sweep_holds() -> None:
    """A beat of the clock by which leases end, then what is over by it."""
    try:
        pulse.beat()
        ledger.sweep()
    except (DatabaseError, ledger.AccountingUnavailable) as error:  # a line, not a traceback
        logger.error("holds cannot be swept: %s", error)


@shared_task
def check_alerts() -> None:
    """Open and close alerts, and post what waits, for each organisation in a job of its own."""
    alerts.check_all()
    for organisation_id in alert_posts.waiting():
        post_alerts.delay(organisation_id)


@shared_task
def post_alerts(organisation_id: str) -> None:
    alert_posts.deliver_all(organisation_id)


@shared_task
def seal_alert_secrets() -> None:
    """After a rotation of SECRET_KEY."""
    alert_posts.seal_anew()


@shared_task
def process_webhook(delivery_id: int) -> None:
    webhooks.process_all([delivery_id])


@shared_task
def reprocess_webhooks() -> None:
    webhooks.process_all(webhooks.unprocessed())


@shared_task
def top_up() -> None:
    autotopup.run()


@shared_task
def finish_closings() -> None:
    closing.run()


@shared_task
def tell_usage() -> None:
    postpaid.run()


@shared_task
def send_refunds() -> None:
    refunds.run()


@shared_task
def catch_up() -> None:
    reconciliation.catch_up()


@shared_task
def reconcile() -> None:
    reconciliation.reconcile()
