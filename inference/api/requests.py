"""`GET /v1/requests/{id}`: what one request used and cost, and its texts when they are kept."""

import re

from starlette.requests import Request
from starlette.responses import Response

from inference.api.errors import json_response
from inference.api.exchange import admit, exchange_of
from inference.database import ask_database
from inference.errors import ServiceError
from inference.log import reading

_ID = re.compile(r"[0-9A-Za-z_]{1,40}")


async def retrieve(request: Request) -> Response:
    """Another organisation's is not found, and nor is one that still runs."""
    exchange_of(request).endpoint = "requests"
    caller = await admit(request)
    request_id = request.path_params["id"]
    found = None
    if _ID.fullmatch(request_id):
        found = await ask_database(reading.read, caller.organisation_id, request_id)
    if found is None:
        message = "There is no request with this id, or it has not ended yet."
        raise ServiceError(404, "invalid_request_error", "request_not_found", message, "id")
    return json_response({"object": "request", **found})
