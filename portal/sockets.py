"""Websockets at addresses that have none: OpenAI's libraries open some below `/v1`."""

import json

from starlette.types import Receive, Scope, Send

from portal.lib.rest_errors import envelope

ONLY = "/ws/playground/"


async def unknown_address(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse the handshake with a 404, and say why where the server can."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 4404})
        return
    message = f"Unknown address: there is no websocket at {scope['path']}, only at {ONLY}."
    body = json.dumps(envelope(404, message, "unknown_url")).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
