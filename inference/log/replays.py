"""Answers of requests with an Idempotency-Key: one generation for each key, its answer for a day.

The row of a key (`KeyedRequest`) decides, whatever runs where: it is made under a unique
constraint and changed by conditional updates that name the holder's token. A holder renews its
lease; when its process has died, the next one that asks takes over and runs again.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from django.db.models import QuerySet
from django.utils import timezone

from billing import pulse
from inference.log.models import KeyedRequest, KeyedState
from portal.lib import sealing

KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with a key, and the id it will have if it is the one that runs."""

    organisation_id: str
    key_hash: bytes
    body_hash: bytes
    request_id: str


def asked(organisation_id: str, key: str, path: str, body: bytes, request_id: str) -> Asked:
    """Bodies are the same when their bytes are, and they went to the same address."""
    content = sha256(path.encode() + b"\0" + body).digest()
    return Asked(organisation_id, sha256(key.encode()).digest(), content, request_id)


@dataclass(frozen=True, slots=True)
class Ours:
    """The caller of `claim` has to run it, and to renew, keep or release it with this."""

    row_id: int
    token: str
    asked: Asked


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered the first time."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Running:
    """Somebody runs it."""


@dataclass(frozen=True, slots=True)
class OtherBody:
    """The key came with another body."""


@dataclass(frozen=True, slots=True)
class NotKept:
    """It was answered, but the answer was too large to keep, or its seal no longer opens."""

    request_id: str


Found = Ours | Answer | Running | OtherBody | NotKept


def claim(asking: Asked) -> Found:
    """What is known of the key; it is ours when nothing is, or when whoever ran it died."""
    token = secrets.token_hex(16)
    while True:
        row = _find(asking.organisation_id, asking.key_hash)
        if row is None:
            _insert(asking, token)
            row = _find(asking.organisation_id, asking.key_hash)
        if row is None:  # released meanwhile
            continue
        if row.token == token:
            return Ours(row.pk, token, asking)
        held = _is_held(row)
        if row.expires_at > timezone.now() or held:
            if bytes(row.body_hash) != asking.body_hash:
                return OtherBody()
            if held:
                return Running()
            if row.state != KeyedState.RUNNING:
                return _answer_of(row)
        _take_over(row, asking, token)


def is_running(organisation_id: str, key_hash: bytes) -> bool:
    """Whether somebody who lives runs it: a look alone, for who waits for its end."""
    row = _find(organisation_id, key_hash)
    return row is not None and _is_held(row)


def _is_held(row: KeyedRequest) -> bool:
    return row.state == KeyedState.RUNNING and row.lease > pulse.number()


def _find(organisation_id: str, key_hash: bytes) -> KeyedRequest | None:
    return KeyedRequest.objects.filter(organisation_id=organisation_id, key_hash=key_hash).first()


def _insert(asking: Asked, token: str) -> None:
    row = KeyedRequest(organisation_id=asking.organisation_id, key_hash=asking.key_hash)
    for name, value in _beginning(asking, token).items():
        setattr(row, name, value)
    KeyedRequest.objects.bulk_create([row], ignore_conflicts=True)


def _take_over(row: KeyedRequest, asking: Asked, token: str) -> None:
    """Unless somebody else does, or its holder turns out to live."""
    unchanged = KeyedRequest.objects.filter(
        pk=row.pk, token=row.token, state=row.state, lease=row.lease
    )
    unchanged.update(sealed_answer=None, **_beginning(asking, token))


def _beginning(asking: Asked, token: str) -> dict[str, object]:
    now = timezone.now()
    return {
        "body_hash": asking.body_hash,
        "request_id": asking.request_id,
        "token": token,
        "state": KeyedState.RUNNING,
        "lease": pulse.new_lease(),
        "expires_at": now + KEPT_FOR,
    }


def _answer_of(row: KeyedRequest) -> Answer | NotKept:
    if row.sealed_answer is None:
        return NotKept(row.request_id)
    try:
        packed = sealing.unseal(row.sealed_answer, _context(row.organisation_id, row.key_hash))
    except sealing.CannotUnsealError:
        return NotKept(row.request_id)
    head, _, body = packed.partition(b"\n")
    return Answer(json.loads(head), body)


# --- What the holder does -------------------------------------------------------------------------


def renew(ours: Ours) -> bool:
    """Vouch for it; False when somebody else has taken over."""
    return _held(ours).update(lease=pulse.new_lease()) == 1


def keep(ours: Ours, answer: Answer) -> bool:
    """Keep the answer for who asks again; False when somebody else has taken over."""
    packed = json.dumps(dict(answer.headers)).encode() + b"\n" + answer.body
    sealed = sealing.seal(packed, _context(ours.asked.organisation_id, ours.asked.key_hash))
    return _held(ours).update(state=KeyedState.KEPT, sealed_answer=sealed) == 1


def keep_too_large(ours: Ours) -> bool:
    """Remember that it was answered, without the answer."""
    return _held(ours).update(state=KeyedState.TOO_LARGE) == 1


def release(ours: Ours) -> bool:
    """Forget the key: nothing was generated that is worth repeating."""
    return _held(ours).delete()[0] == 1


def _held(ours: Ours) -> QuerySet[KeyedRequest]:
    return KeyedRequest.objects.filter(pk=ours.row_id, token=ours.token, state=KeyedState.RUNNING)


def _context(organisation_id: str, key_hash: bytes | memoryview) -> str:
    return f"answer:{organisation_id}:{bytes(key_hash).hex()}"
