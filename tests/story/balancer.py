"""A round-robin TCP balancer for tests with several web processes: bytes in, bytes out."""

import asyncio
import contextlib
import itertools
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

Address = tuple[str, int]


@contextmanager
def balancer(backends: Sequence[Address]) -> Iterator[int]:
    """Listen on a free port of loopback and hand each connection to the next backend.

    Its event loop lives in a thread of its own: the caller's may have one already.
    """
    said: queue.Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()
    turns = itertools.cycle(range(len(backends)))

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = next(turns)
        for backend in (*backends[first:], *backends[:first]):
            with contextlib.suppress(OSError):  # one that does not listen is passed over
                back_reader, back_writer = await asyncio.open_connection(*backend)
                break
        else:
            writer.close()
            return
        await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer))

    async def serve() -> None:
        server = await asyncio.start_server(carry, "127.0.0.1", 0)
        stop = asyncio.Event()
        said.put((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
        await stop.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    port, loop, stop = said.get(timeout=10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
