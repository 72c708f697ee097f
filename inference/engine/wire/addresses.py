"""Where engines listen: `unix:/path` or `host:port`."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

P = TypeVar("P", bound=asyncio.Protocol)


def parse(address: str) -> Path | tuple[str, int]:
    """Return a socket's path, or a host and a port. ValueError when it is neither."""
    if address.startswith("unix:"):
        return Path(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    # Without a host it would listen on all of them, and engines do not ask who connects.
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise ValueError(f"{address!r} is no address; unix:/path or host:port is")
    return host.removeprefix("[").removesuffix("]"), int(port)


async def connect(address: str, make: Callable[[], P]) -> P:
    """Connect a protocol. OSError when nobody listens there, ValueError when it is no address."""
    events = asyncio.get_running_loop()
    place = parse(address)
    if isinstance(place, Path):
        _, protocol = await events.create_unix_connection(make, str(place))
    else:
        _, protocol = await events.create_connection(make, *place)
    return protocol


def connect_blocking(address: str, timeout_s: float) -> socket.socket:
    """Return a connected socket; errors as `connect`."""
    place = parse(address)
    if isinstance(place, tuple):
        return socket.create_connection(place, timeout_s)
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(timeout_s)
        connected.connect(str(place))
    except OSError:
        connected.close()
        raise
    return connected


class Listener:
    """A place where connections are taken, until it is closed."""

    def __init__(self, address: str, server: asyncio.Server, path: Path | None) -> None:
        """Made by `listen`. `address` is where it really listens."""
        self.address = address
        self._server = server
        self._path = path

    def close(self) -> None:
        """Take no more; those that were taken stay."""
        # In this order: once nobody listens, the path may be somebody else's.
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self._server.close()


async def listen(address: str, make: Callable[[], asyncio.Protocol]) -> Listener:
    """Take connections at an address, at any free port where it is 0.

    ValueError when another process serves there already, OSError when one cannot listen there.
    """
    events = asyncio.get_running_loop()
    place = parse(address)
    if isinstance(place, Path):
        _check_is_free(place)
        return Listener(address, await events.create_unix_server(make, str(place)), place)
    host, port = place
    server = await events.create_server(make, host or None, port)
    port = server.sockets[0].getsockname()[1]
    return Listener(f"{address.rpartition(':')[0]}:{port}", server, None)


def _check_is_free(path: Path) -> None:
    """ValueError when somebody listens: to listen there too would take it from them unnoticed.

    The socket of a process that is gone may be replaced.
    """
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.setblocking(False)
        refusal = probe.connect_ex(str(path))
    if refusal in {0, errno.EAGAIN, errno.EINPROGRESS}:
        raise ValueError(f"another process listens on {path} already")
