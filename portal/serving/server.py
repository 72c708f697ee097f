"""The web server: uvicorn, which leaves nobody standing at its door when it stops."""

import asyncio
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import uvicorn
from uvicorn._types import ASGIApplication

from portal.serving.http import BoundedHead

MOST_FILES = 65_536
# An idle connection is closed by whoever is in front, not by us while a request is on its way:
# balancers and pools of clients keep theirs for a minute.
KEEP_ALIVE_S = 75
STARTUP_FAILURE = 3  # the status of uvicorn's own command


def serve(application: str, listener: socket.socket) -> None:
    """Listen until SIGINT or SIGTERM; what is answered then has 35 s to come to its end.

    SystemExit when the application does not start.
    """
    take_more_files()
    server = Server(configure(application))
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def configure(application: str | ASGIApplication) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        workers=1,  # uvicorn would take WEB_CONCURRENCY to mean its own children
        server_header=False,
        ws_max_size=1024 * 1024,
        # A compressor would be two fifths of a socket's memory, for frames of a few words.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=35,
        timeout_keep_alive=KEEP_ALIVE_S,
        http=BoundedHead,
        lifespan="on",  # "auto" would go on without the service where that fails to start
        # Tasks of requests would carry what imports and the lifespan have set: each line of the
        # log goes through all of it.
        reset_contextvars=True,
        proxy_headers=False,  # portal.forwarded reads them
    )


def take_more_files() -> None:
    """By default systems begin with a thousand for a process, and every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems name a limit that they do not grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take in whom the kernel has let in already, then stop as uvicorn does.

        Closing the listener would reset them, and a balancer that has sent a request on such a
        connection may not send it again elsewhere.
        """
        accepted = [one for listener in sockets or [] for one in queued(listener)]
        for server in self.servers:
            server.close()
        protocol = partial(BoundedHead, self.config, self.server_state, self.lifespan.state)
        for connection in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
        await super().shutdown(sockets)


def queued(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait to be accepted, accepted."""
    with suppress(OSError):  # none is left
        listener.setblocking(False)
        while True:
            yield listener.accept()[0]
