"""The stand-in over HTTP: keys, idempotency, the hosted pages.

A key that comes again gets the first answer again, errors of the card included; with other
parameters it is refused, as at Stripe.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.billing.stripe_double.endpoints import answer
from tests.billing.stripe_double.parameters import decode
from tests.billing.stripe_double.state import Object, Refused, StripeDouble
from tests.serving import serving

SECRET_KEY = "sk_test_double"
PAGE = """<!doctype html><title>Checkout</title><h1>Pay {amount}</h1>
<form method="post"><button name="pay" value="yes">Pay</button></form>"""
PORTAL = """<!doctype html><title>Customer portal</title><h1>Customer portal</h1>
<a href="{back}">Return</a>"""


@contextmanager
def stripe_double(webhook_url: str | None = None, port: int = 0) -> Iterator[StripeDouble]:
    """The stand-in on a free port of loopback."""
    double = StripeDouble(webhook_url)
    server = ThreadingHTTPServer(("127.0.0.1", port), handler(double))
    double.url = f"http://localhost:{server.server_address[1]}"
    with serving(server):
        yield double


class Once:
    """Answers by idempotency key."""

    def __init__(self, double: StripeDouble) -> None:
        self.double = double
        self.lock = threading.Lock()

    def answer(self, method: str, path: str, fields: Object, key: str | None) -> tuple[int, Object]:
        if key is None:
            return self._answer(method, path, fields)
        asked = json.dumps([method, path, fields], sort_keys=True)
        with self.lock:
            given = self.double.answers
            if key in given and given[key][0] != asked:
                message = "Keys for idempotent requests can only be used with the same parameters"
                return 400, Refused(400, message, type="idempotency_error").body
            if key not in given:
                given[key] = (asked, *self._answer(method, path, fields))
            return given[key][1:]

    def _answer(self, method: str, path: str, fields: Object) -> tuple[int, Object]:
        try:
            return 200, json.loads(json.dumps(answer(self.double, method, path, fields)))
        except Refused as refused:
            return refused.status, refused.body


def handler(double: StripeDouble) -> type[BaseHTTPRequestHandler]:
    once = Once(double)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            page, _, object_id = parts.path.rpartition("/")
            if page in {"/pay", "/portal"} and object_id in double.objects:
                shown = double.objects[object_id]
                amount = (shown.get("amount_total") or 0) / 100
                template = PAGE if page == "/pay" else PORTAL
                self.page(template.format(amount=amount, back=shown.get("return_url")))
            else:
                self.api("GET", parts.path, decode(parse_qsl(parts.query)))

        def do_POST(self) -> None:
            path = urlsplit(self.path).path
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            if path.startswith("/pay/"):
                session = double.pay(path.removeprefix("/pay/"))
                self.send_response(303)
                self.send_header("Location", session["success_url"])
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.api("POST", path, decode(parse_qsl(body, keep_blank_values=True)))

        def do_DELETE(self) -> None:
            parts = urlsplit(self.path)
            self.api("DELETE", parts.path, decode(parse_qsl(parts.query)))

        def api(self, method: str, path: str, fields: Object) -> None:
            if double.down:
                self.answer(503, Refused(503, "down for a test", type="api_error").body)
            elif self.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
                self.answer(401, Refused(401, "Invalid API Key provided").body)
            else:
                key = self.headers.get("Idempotency-Key")
                status, body = once.answer(method, path, fields, key)
                if double.lost_answers > 0:
                    double.lost_answers -= 1
                    self.close_connection = True  # and not a byte is written
                else:
                    self.answer(status, body)

        def answer(self, status: int, payload: dict[str, Any]) -> None:
            self.write(status, "application/json", json.dumps(payload).encode())

        def page(self, html: str) -> None:
            self.write(200, "text/html; charset=utf-8", html.encode())

        def write(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Quiet: the tests' output is what matters."""

    return Handler
