"""Writes server-sent events the way OpenAI's clients read them: `data:` lines, nothing else."""

DONE = b"data: [DONE]\n\n"
# A comment: clients ignore it, proxies and load balancers see that the connection lives.
KEEP_ALIVE = b": keep-alive\n\n"
KEEP_ALIVE_S = 15.0

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


def event(data: bytes) -> bytes:
    """One event; `data` must be a single line, such as compact JSON."""
    return b"data: " + data + b"\n\n"
