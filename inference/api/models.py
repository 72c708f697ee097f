"""`GET /v1/models` and `/v1/models/{id}`: what this key may call, in the shape of either API."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from inference import catalog, service
from inference.api.anthropic import models as anthropic
from inference.api.errors import json_response
from inference.api.exchange import admit, exchange_of
from inference.catalog import CatalogEntry
from inference.errors import ServiceError
from inference.service import ModelLoad
from portal.lib.money import per_token


async def list_models(request: Request) -> Response:
    exchange = exchange_of(request)
    exchange.endpoint = "models"
    caller = await admit(request)
    await catalog.refresh()
    entries = catalog.models_for(caller)
    if exchange.speaks_anthropic:
        return json_response(anthropic.page_of(entries, request.query_params))
    loads = service.loads()
    models = [describe(entry, loads.get(entry.name)) for entry in entries]
    return json_response({"object": "list", "data": models})


async def retrieve(request: Request) -> Response:
    """By name or alias; names may contain slashes."""
    exchange = exchange_of(request)
    exchange.endpoint = "models"
    caller = await admit(request)
    await catalog.refresh()
    try:
        entry = catalog.resolve(request.path_params["model"], caller)
    except ServiceError as refusal:
        if refusal.code == "model_not_found" and request.url.path.endswith("/"):
            raise HTTPException(404) from None  # a slash too many, which is explained
        raise
    if exchange.speaks_anthropic:
        return json_response(anthropic.describe(entry))
    return json_response(describe(entry, service.loads().get(entry.name)))


def describe(entry: CatalogEntry, load: ModelLoad | None) -> dict[str, Any]:
    """`load` is None before an engine of the model was found."""
    price = entry.price
    return {
        "id": entry.name,
        "object": "model",
        "created": int(entry.created_at.timestamp()),
        "owned_by": "organization-owner",
        "max_model_len": entry.max_model_len,
        "dimensions": (load.dimensions or None) if load is not None else None,
        "pricing": {
            "input": per_token(price.input_nanos_per_mtok),
            "cached_input": per_token(price.cached_input_nanos_per_mtok),
            "output": per_token(price.output_nanos_per_mtok),
            "flex_multiplier_bp": price.flex_multiplier_bp,
        },
        "capabilities": list(entry.capabilities),
        "quantization": entry.quantization or None,
        "shutdown_date": entry.shutdown_date.isoformat() if entry.shutdown_date else None,
    }
