"""A round-robin TCP balancer for tests with several web processes: bytes in, bytes out."""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

Address = tuple[str, int]


@contextmanager
def balancer(backends: Sequence[Address]) -> Iterator[int]:
    """Listen on a free port of loopback and hand each connection to the next backend."""
    loop = asyncio.new_event_loop()
    turns = itertools.cycle(backends)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back_reader, back_writer = await asyncio.open_connection(*next(turns))
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer))

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
