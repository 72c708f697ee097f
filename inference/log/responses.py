"""Responses of `/v1/responses` that can be read again and gone on with.

They are kept for organisations that keep bodies, sealed, and as long as those; nothing is kept of
anybody else. Each holds its whole conversation, so that none depends on another that may be gone;
and none is larger than a request, which bounds what goes on from one to the next.
"""

import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from inference.log.models import StoredResponse
from inference.log.retention import find_text
from portal.lib import sealing


@dataclass(frozen=True, slots=True)
class Stored:
    """A response as it was answered, and the items that the model had been given, oldest first."""

    response: dict[str, Any]
    items: list[dict[str, Any]]


def keep(organisation_id: str, stored: Stored) -> bool:
    """Keep it, unless it is too large; the caller has seen that the organisation wants it.

    The context's length is no bound: what a template leaves out, or an item has beside its text, is
    no part of the prompt, and would grow with every turn.
    """
    response_id = stored.response["id"]
    text = json.dumps({"response": stored.response, "items": stored.items}, ensure_ascii=False)
    plain = text.encode()
    if len(plain) > settings.API_MAX_BODY_BYTES:
        return False
    sealed = sealing.seal(plain, _context(organisation_id, response_id))
    StoredResponse.objects.create(
        response_id=response_id, organisation_id=organisation_id, sealed=sealed
    )
    return True


def read(organisation_id: str, response_id: str) -> Stored | None:
    """This organisation's response; None when it is not stored (any more)."""
    row = find_text(StoredResponse.objects.all(), organisation_id, response_id)
    if row is None:
        return None
    try:
        plain = sealing.unseal(row.sealed, _context(organisation_id, response_id))
    except sealing.CannotUnsealError:
        return None  # the key is gone, and with it what it sealed
    return Stored(**json.loads(plain))


def forget(organisation_id: str, response_id: str) -> bool:
    """Delete it; whether there was anything."""
    mine = StoredResponse.objects.filter(response_id=response_id, organisation_id=organisation_id)
    return mine.delete()[0] > 0


def _context(organisation_id: str, response_id: str) -> str:
    return f"response:{organisation_id}:{response_id}"
