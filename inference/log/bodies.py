"""Requests and answers of organisations that want them kept: sealed, bounded, theirs alone.

Nothing is kept of anybody else. How long, and what may still be read: `inference.log.retention`.
"""

from dataclasses import dataclass

from django.conf import settings

from inference.log.models import KeptBodies
from inference.log.retention import find_text
from portal.lib import sealing


@dataclass(frozen=True, slots=True)
class Bodies:
    """As they went over the wire, up to KEPT_BODY_MAX_BYTES each; the sizes are of the whole."""

    request: bytes
    answer: bytes
    request_bytes: int
    answer_bytes: int


def keep(organisation_id: str, request_id: str, bodies: Bodies) -> None:
    """Keep them, once; the caller has seen that the organisation wants it."""
    most = settings.KEPT_BODY_MAX_BYTES
    KeptBodies.objects.bulk_create(
        [
            KeptBodies(
                request_id=request_id,
                organisation_id=organisation_id,
                sealed_request=_seal(bodies.request[:most], organisation_id, request_id, "request"),
                sealed_answer=_seal(bodies.answer[:most], organisation_id, request_id, "answer"),
                request_bytes=bodies.request_bytes,
                answer_bytes=bodies.answer_bytes,
            )
        ],
        ignore_conflicts=True,
    )


def read(organisation_id: str, request_id: str) -> Bodies | None:
    """What is kept of this organisation's request; None when that is nothing (any more)."""
    row = find_text(KeptBodies.objects.all(), organisation_id, request_id)
    if row is None:
        return None
    try:
        return Bodies(
            request=_unseal(row.sealed_request, organisation_id, request_id, "request"),
            answer=_unseal(row.sealed_answer, organisation_id, request_id, "answer"),
            request_bytes=row.request_bytes,
            answer_bytes=row.answer_bytes,
        )
    except sealing.CannotUnsealError:
        return None  # the key is gone, and with it what it sealed


def _seal(text: bytes, organisation_id: str, request_id: str, which: str) -> bytes:
    return sealing.seal(text, _context(organisation_id, request_id, which))


def _unseal(sealed: bytes | memoryview, organisation_id: str, request_id: str, which: str) -> bytes:
    return sealing.unseal(sealed, _context(organisation_id, request_id, which))


def _context(organisation_id: str, request_id: str, which: str) -> str:
    return f"body:{organisation_id}:{request_id}:{which}"
