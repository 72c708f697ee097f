"""The addresses of OpenAI's libraries before 1.0: the model is their engine, `/v1/engines/NAME/…`.

Names of models may contain slashes, so one that ends in `/chat` looks like the address of a chat,
which nobody ever served there. It is that model where there is one.
"""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from inference import catalog
from inference.api.errors import from_http
from inference.errors import ServiceError

PREFIX = "/v1/engines/{engine:path}"


async def with_engine(request: Request, body: dict[str, Any]) -> dict[str, Any]:
    """The body of an authenticated request, with the engine of its address as its model.

    Raises ServiceError (404) for the address of a chat.
    """
    engine = request.path_params.get("engine")
    if engine is None:
        return body
    if engine.endswith("/chat"):
        await _check_is_a_model(request, engine)
    return {name: value for name, value in body.items() if name != "engine"} | {"model": engine}


async def _check_is_a_model(request: Request, name: str) -> None:
    await catalog.refresh()
    try:
        catalog.resolve(name, request.scope["caller"])
    except ServiceError as refusal:
        if refusal.code == "model_not_found":
            raise from_http(HTTPException(404), request.method, request.url.path) from None
        raise
