"""Stands between a program and a site, and notes which addresses were called, with what outcome."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from tests.serving import serving

TIMEOUT_S = 60
# What belongs to one connection, and not to what is carried over it.
OF_THE_CONNECTION = {"connection", "transfer-encoding", "content-length", "server", "date"}


class Call(NamedTuple):
    method: str
    path: str
    status: int


@dataclass
class Recorder:
    """`url` answers as the site does. `calls` are those since it was last emptied."""

    url: str
    calls: list[Call] = field(default_factory=list)


@contextmanager
def recorder(site_url: str) -> Iterator[Recorder]:
    made = Recorder("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), forwarding(made, urlsplit(site_url)))
    made.url = f"http://localhost:{server.server_address[1]}"
    with serving(server):
        yield made


def forwarding(made: Recorder, site: SplitResult) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length) if length else None
            upstream = http.client.HTTPConnection(site.hostname or "", site.port, TIMEOUT_S)
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            made.calls.append(Call(self.command, urlsplit(self.path).path, answer.status))
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.end_headers()
            while part := answer.read1():
                self.wfile.write(part)
                self.wfile.flush()
            upstream.close()

        do_GET = do_POST = do_PATCH = do_DELETE = forward  # noqa: N815  names of the library

        def log_message(self, *_parts: object) -> None:
            """Nothing on the terminal."""

    return Handler
