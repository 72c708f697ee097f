"""Stripe's webhooks: verify, store, answer; then process, once, from the stored row.

The signature is checked over the raw body before anything is parsed. A delivery is stored under
its event's id, so a repeated one is the same row. Processing asks Stripe for the object again
instead of trusting the payload, so order, age and API version of deliveries do not matter: of a
payload only the id of its object is read.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta

import stripe
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Count, F, Min
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import (
    autotopup,
    customers,
    disputes,
    invoices,
    refunds,
    stripe_api,
    subscriptions,
    topups,
)
from billing.models import WebhookDelivery

MAX_BODY_BYTES = 256 * 1024
TOLERANCE_S = 300
# Doubled after each attempt; all of them take five days, longer than Stripe's own three.
RETRY_AFTER = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=6)
MAX_ATTEMPTS = 30

logger = logging.getLogger(__name__)


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Store a genuine delivery and answer at once; 400 for anything else."""
    if not settings.STRIPE_WEBHOOK_SECRET:
        return HttpResponse("Stripe is not configured\n", status=404)
    body = _body(request)
    if body is None:
        return HttpResponse("body too large\n", status=413)
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


def _body(request: HttpRequest) -> bytes | None:
    """None when it is too large: before it is read if it says so, and after if it does not."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
        return None
    body = request.body
    return body if len(body) <= MAX_BODY_BYTES else None


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
        event_id=event_id,
        defaults={
            "event_type": event_type,
            "payload": payload,
            # Beat looks at it when the broker has had its time.
            "next_attempt_at": timezone.now() + RETRY_AFTER,
        },
    )
    if created:
        # Robust: without a broker the delivery is stored all the same, and beat picks it up later.
        transaction.on_commit(lambda: process_webhook.delay(delivery.pk), robust=True)


def process(delivery_id: int) -> None:
    """Carry out one stored delivery, once. Errors are kept in its row and tried again.

    Raises StripeUnavailable, and what nobody foresaw.
    """
    delivery = WebhookDelivery.objects.get(pk=delivery_id)
    if not _claim(delivery):
        return
    handler = HANDLERS.get(delivery.event_type)
    try:
        if handler is not None:
            handler(json.loads(delivery.payload)["data"]["object"]["id"])
        _finish(delivery_id, "")
    except topups.PaymentRefused as refusal:
        _finish(delivery_id, f"refused: {refusal}")
    except (stripe_api.RequestRefused, topups.NotYet, DatabaseError) as error:
        _note(delivery_id, error)
    except Exception as error:
        _note(delivery_id, error)
        raise


def _claim(delivery: WebhookDelivery) -> bool:
    """False when it is done, or another worker has it. Counted first: none is tried for ever."""
    wait = min(RETRY_AFTER * 2 ** min(delivery.attempts, 20), LONGEST_WAIT)
    rows = WebhookDelivery.objects.filter(
        pk=delivery.pk, processed_at=None, attempts=delivery.attempts
    )
    return bool(rows.update(attempts=F("attempts") + 1, next_attempt_at=timezone.now() + wait))


def _note(delivery_id: int, error: Exception) -> None:
    text = f"will be tried again: {type(error).__name__}: {error}"
    WebhookDelivery.objects.filter(pk=delivery_id).update(error=text)


def _finish(delivery_id: int, error: str) -> None:
    WebhookDelivery.objects.filter(pk=delivery_id).update(processed_at=timezone.now(), error=error)


def _checkout_paid(session_id: str) -> None:
    session = stripe_api.fetch_checkout(session_id)
    if session.mode == "setup":
        autotopup.keep_card(session)
    elif session.mode == "payment":  # a subscription is told by itself, and by its invoices
        topups.credit(session)


def _checkout_refused(session_id: str) -> None:
    topups.hear_bank(stripe_api.fetch_checkout(session_id))


# Each takes the id of the event's object.
HANDLERS: dict[str, Callable[[str], None]] = {
    "charge.dispute.closed": disputes.hear,
    "charge.dispute.created": disputes.hear,
    "charge.dispute.funds_reinstated": disputes.hear,
    "charge.dispute.funds_withdrawn": disputes.hear,
    "charge.dispute.updated": disputes.hear,
    "checkout.session.completed": _checkout_paid,
    "checkout.session.async_payment_failed": _checkout_refused,
    "checkout.session.async_payment_succeeded": _checkout_paid,
    "checkout.session.expired": topups.expire,
    "customer.updated": customers.refresh,
    "customer.subscription.created": subscriptions.hear,
    "customer.subscription.deleted": subscriptions.hear,
    "customer.subscription.updated": subscriptions.hear,
    "invoice.paid": invoices.hear_paid,
    "invoice.payment_failed": invoices.hear_failed,
    "invoice.voided": invoices.hear_voided,
    "payment_intent.payment_failed": autotopup.hear,
    "payment_intent.succeeded": autotopup.hear,
    "payment_method.automatically_updated": customers.refresh_card,
    "payment_method.detached": customers.refresh_card,
    "payment_method.updated": customers.refresh_card,
    "refund.created": refunds.hear,
    "refund.failed": refunds.hear,
    "refund.updated": refunds.hear,
}


def unprocessed() -> list[int]:
    """Deliveries whose turn has come: a lost broker forgot them, or they failed before."""
    rows = WebhookDelivery.objects.filter(
        processed_at=None, next_attempt_at__lte=timezone.now(), attempts__lt=MAX_ATTEMPTS
    )
    return list(rows.order_by("next_attempt_at", "pk").values_list("pk", flat=True)[:200])


def backlog() -> tuple[int, datetime | None]:
    """How many deliveries are not processed, and when the first of them is tried (again)."""
    rows = WebhookDelivery.objects.filter(processed_at=None, attempts__lt=MAX_ATTEMPTS)
    found = rows.aggregate(num=Count("pk"), due=Min("next_attempt_at"))
    return found["num"], found["due"]


def process_all(delivery_ids: Iterable[int]) -> None:
    """Process each, whatever becomes of the others."""
    for delivery_id in delivery_ids:
        try:
            process(delivery_id)
        except stripe_api.StripeUnavailable as away:  # the others would only wait as well
            logger.warning("deliveries will be tried again: %s", away)
            break
        except Exception:
            logger.exception("delivery %s breaks its handler", delivery_id)


def replay(delivery_ids: Collection[int]) -> int:
    """Process deliveries again, whatever came of them; what they credited stays credited once.

    How many are not processed even so; each row that was tried says why, and all are tried again.
    """
    deliveries = WebhookDelivery.objects.filter(pk__in=delivery_ids)
    deliveries.update(processed_at=None, attempts=0, error="")
    process_all(delivery_ids)
    return deliveries.filter(processed_at=None).count()
