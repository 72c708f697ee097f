"""Request bodies of strangers, as ASGI delivers them: a limit is a limit, whatever headers say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect
from starlette.types import Receive

# How long a body may take to arrive.
TIMEOUT_S = 60.0
DISCARD_S = 5.0
MAX_DISCARDED_BYTES = 32 * 1024 * 1024


async def chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body, part by part. Raises ClientDisconnect."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def discard(receive: Receive) -> None:
    """Take some of what is still sent: a client that writes does not read the refusal."""
    left = MAX_DISCARDED_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            async for chunk in chunks(receive):
                left -= len(chunk)
                if left < 0:
                    return


def states_more_than(limit: int, content_length: str) -> bool:
    """Whether the header admits to a body above the limit; what it does not admit is counted."""
    plain = content_length.isascii() and content_length.isdigit()
    return plain and int(content_length[:20]) > limit
