"""Alerts as signed webhooks, in the form of Standard Webhooks (standardwebhooks.com).

The signature is an HMAC-SHA-256 over id, time and body with the organisation's own secret; what
OpenAI's libraries do to check their webhooks checks these. A post is claimed before it is sent,
so two workers never send it at once; the same id goes with every attempt.
"""

import base64
import hashlib
import hmac
import json
import secrets
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from billing.models import Alert, AlertKind, AlertPost, AlertSettings
from portal.lib import callbacks
from portal.lib.sealing import CannotUnsealError, seal, sealed_anew, unseal

PREFIX = "whsec_"
RETRY_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=3),
    timedelta(hours=12),
)
# While a worker posts, nobody else does; a worker that died gives it up after this long.
CLAIM = timedelta(minutes=2)


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sealed(secret: str, organisation_id: str) -> bytes:
    return seal(secret.encode(), _context(organisation_id))


def seal_anew() -> None:
    """Seal with SECRET_KEY the secrets that a former one sealed."""
    rows = AlertSettings.objects.all()
    for pk, kept in rows.values_list("pk", "webhook_secret").iterator():
        with suppress(CannotUnsealError):  # its owner is told by what could not be posted
            anew = None if kept is None else sealed_anew(kept, _context(pk))
            if anew is not None:
                # Not over one that somebody makes meanwhile.
                rows.filter(pk=pk, webhook_secret=kept).update(webhook_secret=anew)


def _context(organisation_id: str) -> str:
    return f"alert-webhook:{organisation_id}"


def waiting() -> list[str]:
    """Organisations with posts whose turn has come."""
    found = (
        _due().order_by("alert__organisation_id").values_list("alert__organisation_id", flat=True)
    )
    return list(found.distinct())


def deliver_all(organisation_id: str) -> None:
    """Post what waits of one organisation, oldest first, until its address does not take one.

    The next one would wait as long for it, and other organisations for us.
    """
    posts = _due().filter(alert__organisation_id=organisation_id).order_by("alert_id")
    for alert_id in posts.values_list("alert_id", flat=True)[:500]:
        if not deliver(alert_id):
            return


def _due() -> QuerySet[AlertPost]:
    return AlertPost.objects.filter(taken_at=None, next_attempt_at__lte=timezone.now())


def deliver(alert_id: str) -> bool:
    """Post one alert once; False when it is not its turn or was not taken."""
    now = timezone.now()
    if not _due().filter(alert_id=alert_id).update(next_attempt_at=now + CLAIM):
        return False
    alert = Alert.objects.get(pk=alert_id)
    wanted = AlertSettings.objects.get(organisation_id=alert.organisation_id)
    post = AlertPost.objects.get(alert_id=alert_id)
    error = _send(alert, wanted) if wanted.webhook_url else "There is no address any more."
    post.attempts += 1
    post.error = error[:500]
    post.taken_at = None if error else timezone.now()
    over = not error or not wanted.webhook_url or post.attempts > len(RETRY_AFTER)
    post.next_attempt_at = None if over else now + RETRY_AFTER[post.attempts - 1]
    post.save(update_fields=["attempts", "error", "taken_at", "next_attempt_at"])
    return not error


def _send(alert: Alert, wanted: AlertSettings) -> str:
    """What went wrong; nothing when it was taken."""
    assert wanted.webhook_secret is not None, "the database wants a secret with every address"
    try:
        secret = unseal(wanted.webhook_secret, _context(alert.organisation_id)).decode()
    except CannotUnsealError:
        return "Your secret cannot be read any more; make a new one."
    body = json.dumps(event(alert), separators=(",", ":")).encode()
    stamp = str(int(timezone.now().timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Parlance",
        "webhook-id": alert.pk,
        "webhook-timestamp": stamp,
        "webhook-signature": signature(secret, alert.pk, stamp, body),
    }
    private = settings.WEBHOOKS_TO_PRIVATE_ADDRESSES
    try:
        callbacks.post(wanted.webhook_url, body, headers, private=private)
    except callbacks.CallbackFailed as failed:
        return str(failed)
    return ""


def event(alert: Alert) -> dict[str, object]:
    """What is posted; amounts are integer nano-dollars."""
    data: dict[str, object] = {"organisation": alert.organisation_id}
    if alert.kind == AlertKind.BALANCE:
        data |= {"low_balance_nanos": alert.threshold, "balance_nanos": alert.value_nanos}
    else:
        data |= {
            "percentage": alert.threshold,
            "spent_nanos": alert.value_nanos,
            "monthly_cap_nanos": alert.cap_nanos,
        }
    if alert.api_key_id is not None:
        data["api_key_id"] = str(alert.api_key_id)
    created = int(alert.created_at.timestamp())
    return {"id": alert.pk, "object": "event", "created_at": created, "type": alert.kind} | {
        "data": data
    }


def signature(secret: str, message_id: str, stamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA-256(secret, `id.timestamp.body`)."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
