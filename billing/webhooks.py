"""Stripe's webhooks: verify, store, answer; then process, once, from the stored row.

The signature is checked over the raw body before anything is parsed. A delivery is stored under
its event's id, so a repeated one is the same row. Processing asks Stripe for the object again
instead of trusting the payload, so order and age of deliveries do not matter.
"""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import stripe
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import stripe_api, topups
from billing.models import WebhookDelivery

MAX_BODY_BYTES = 256 * 1024
TOLERANCE_S = 300
RETRY_AFTER = timedelta(seconds=30)
MAX_ATTEMPTS = 50


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Store a genuine delivery and answer at once; 400 for anything else."""
    if not settings.STRIPE_WEBHOOK_SECRET:
        return HttpResponse("Stripe is not configured\n", status=404)
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
        return HttpResponse("body too large\n", status=413)
    body = request.body
    try:
        verify(body, request.headers.get("Stripe-Signature", ""))
        event = json.loads(body)
        store(event["id"], event["type"], body.decode())
    except stripe.SignatureVerificationError:
        return HttpResponse("bad signature\n", status=400)
    except (ValueError, KeyError, TypeError):
        return HttpResponse("not an event\n", status=400)
    except DatabaseError:
        return HttpResponse("try again\n", status=503)
    return HttpResponse("stored\n")


def verify(body: bytes, header: str) -> None:
    """Raise SignatureVerificationError unless Stripe signed this body just now.

    The library refuses old timestamps; one from the future is refused here.
    """
    text = body.decode("utf-8", errors="replace")
    stripe.WebhookSignature.verify_header(text, header, settings.STRIPE_WEBHOOK_SECRET, TOLERANCE_S)
    stamps = [part[2:] for part in header.split(",") if part.startswith("t=")]
    if not stamps or int(stamps[0]) > time.time() + TOLERANCE_S:
        raise stripe.SignatureVerificationError(  # type: ignore[no-untyped-call]
            "timestamp in the future", header, text
        )


def store(event_id: str, event_type: str, payload: str) -> None:
    from billing.tasks import process_webhook  # tasks import this module

    delivery, created = WebhookDelivery.objects.get_or_create(
        event_id=event_id, defaults={"event_type": event_type, "payload": payload}
    )
    if created:
        # Robust: without a broker the delivery is stored all the same, and beat picks it up later.
        transaction.on_commit(lambda: process_webhook.delay(delivery.pk), robust=True)


def process(delivery_id: int) -> None:
    """Carry out one stored delivery, once. Errors are kept in its row and tried again."""
    delivery = WebhookDelivery.objects.get(pk=delivery_id)
    if delivery.processed_at is not None:
        return
    handler = HANDLERS.get(delivery.event_type)
    # Counted first: a delivery that breaks its handler is not tried for ever.
    WebhookDelivery.objects.filter(pk=delivery_id).update(attempts=F("attempts") + 1)
    try:
        if handler is not None:
            handler(json.loads(delivery.payload)["data"]["object"])
        _finish(delivery_id, "")
    except topups.PaymentRefused as refusal:
        _finish(delivery_id, f"refused: {refusal}")
    except (stripe_api.StripeUnavailable, DatabaseError) as error:
        WebhookDelivery.objects.filter(pk=delivery_id).update(error=f"will be tried again: {error}")


def _finish(delivery_id: int, error: str) -> None:
    WebhookDelivery.objects.filter(pk=delivery_id).update(processed_at=timezone.now(), error=error)


def _checkout_paid(session: dict[str, Any]) -> None:
    topups.credit(stripe_api.fetch_checkout(session["id"]))


def _checkout_expired(session: dict[str, Any]) -> None:
    topups.expire(session["id"])


HANDLERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "checkout.session.completed": _checkout_paid,
    "checkout.session.async_payment_succeeded": _checkout_paid,
    "checkout.session.expired": _checkout_expired,
}


def unprocessed() -> list[int]:
    """Deliveries that a lost broker forgot, or that failed a while ago."""
    rows = WebhookDelivery.objects.filter(
        processed_at=None,
        received_at__lt=timezone.now() - RETRY_AFTER,
        attempts__lt=MAX_ATTEMPTS,
    )
    return list(rows.order_by("pk").values_list("pk", flat=True)[:200])


def replay(delivery_id: int) -> None:
    """Process a delivery again, whatever came of it; what it credited stays credited once."""
    WebhookDelivery.objects.filter(pk=delivery_id).update(processed_at=None, error="")
    process(delivery_id)
