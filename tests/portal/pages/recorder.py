"""Stands between a program and a site: notes what was called, and keeps what was answered."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from tests.inference.api.witness import Heard, Witness, hears
from tests.serving import serving

TIMEOUT_S = 60
# What belongs to one connection, and not to what is carried over it.
OF_THE_CONNECTION = {"transfer-encoding", "content-length", "server", "date"}


class Call(NamedTuple):
    method: str
    path: str
    status: int


@dataclass
class Recorder:
    """`url` answers as the site does. `calls` are those since it was last emptied."""

    url: str
    calls: list[Call] = field(default_factory=list)
    witness: Witness = field(default_factory=Witness)


@contextmanager
def recorder(site_url: str) -> Iterator[Recorder]:
    made = Recorder("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), forwarding(made, urlsplit(site_url)))
    made.url = f"http://localhost:{server.server_address[1]}"
    with serving(server):
        yield made


def forwarding(made: Recorder, site: SplitResult) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # as the site: connections are kept, streams come in chunks

        def forward(self) -> None:
            path = urlsplit(self.path).path
            heard = hears(self.command, path, dict(self.headers))
            made.witness.heard.append(heard)
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length) if length else None
            upstream = http.client.HTTPConnection(site.hostname or "", site.port, TIMEOUT_S)
            try:
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                made.calls.append(Call(self.command, path, answer.status))
                self.carry(answer, heard)
            except (OSError, http.client.HTTPException):  # one of the two has gone
                self.close_connection = True
            finally:
                upstream.close()

        def carry(self, answer: http.client.HTTPResponse, heard: Heard) -> None:
            heard.content_type = answer.getheader("content-type", "")
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in OF_THE_CONNECTION:
                    self.send_header(name, value)
            in_chunks = answer.length is None
            if in_chunks:
                self.send_header("transfer-encoding", "chunked")
            elif answer.status != http.HTTPStatus.NO_CONTENT:
                self.send_header("content-length", str(answer.length))
            self.end_headers()
            heard.status = answer.status
            while part := answer.read1():
                heard.body += part
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if in_chunks else part)
                self.wfile.flush()
            if in_chunks:
                self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = do_PATCH = do_DELETE = forward  # noqa: N815  names of the library

        def log_message(self, *_parts: object) -> None:
            """Nothing on the terminal."""

    return Handler
