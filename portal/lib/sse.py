"""Writes server-sent events: `data:` lines and, where an API names its events, `event:` lines."""

DONE = b"data: [DONE]\n\n"
# A comment: clients ignore it, proxies and load balancers see that the connection lives.
KEEP_ALIVE = b": keep-alive\n\n"
KEEP_ALIVE_S = 15.0

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


def event(data: bytes, name: str = "") -> bytes:
    """One event; `data` must be a single line, such as compact JSON."""
    if name:
        return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
