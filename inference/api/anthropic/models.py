"""The lists of models in Anthropic's shape, for requests that its libraries send.

They share OpenAI's addresses; what tells them apart is the header `anthropic-version`, which
Anthropic wants in every request and OpenAI's libraries never send.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any

from inference.catalog import CatalogEntry
from inference.errors import invalid

HEADER = "anthropic-version"
DEFAULT_LISTED, MAX_LISTED = 20, 1000


def page_of(entries: Sequence[CatalogEntry], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of the list. Raises ServiceError (400) naming what is wrong in the query."""
    limit = _read_limit(query.get("limit"))
    names = [entry.name for entry in entries]
    first, end = 0, len(entries)
    if after := query.get("after_id"):
        first = _place_of(after, names, "after_id") + 1
    if before := query.get("before_id"):
        end = _place_of(before, names, "before_id")
    shown = entries[first:end]
    page = shown[-limit:] if before and not after else shown[:limit]
    return {
        "data": [describe(entry) for entry in page],
        "has_more": len(page) < len(shown),
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }


def _read_limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LISTED
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
    if not 1 <= limit <= MAX_LISTED:
        raise invalid(f"'limit' is a number from 1 to {MAX_LISTED:,}.", "limit", "invalid_value")
    return limit


def _place_of(name: str, names: list[str], param: str) -> int:
    if name not in names:
        raise invalid(f"'{param}' is not a model in this list.", param, "invalid_value")
    return names.index(name)


def describe(entry: CatalogEntry) -> dict[str, Any]:
    ends = entry.shutdown_date
    return {
        "type": "model",
        "id": entry.name,
        "display_name": entry.name,
        "created_at": _spell(entry.created_at),
        "max_input_tokens": entry.max_model_len,
        "max_tokens": entry.max_model_len,
        "lifecycle": "active" if ends is None else "deprecated",
        "retires_at": None if ends is None else _spell(datetime.combine(ends, time(), UTC)),
    }


def _spell(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
