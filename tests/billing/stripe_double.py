"""A stateful stand-in for Stripe over HTTP, for tests without a network.

It knows what this product uses: Checkout Sessions (create, retrieve), a hosted payment page with
a Pay button, and signed webhooks, which it can send again, late, or not at all. Objects begin as
Stripe's own published examples (reference data), and requests are checked against the parameter
types of stripe-python, so that a misspelt field fails here as it would there.
"""

import argparse
import hashlib
import hmac
import json
import secrets
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from stripe.params.checkout import SessionCreateParams

from tests.environment import REFERENCE_DATA

WEBHOOK_SECRET = "whsec_double"
SECRET_KEY = "sk_test_double"
PAGE = """<!doctype html><title>Checkout</title><h1>Pay {amount}</h1>
<form method="post"><button name="pay" value="yes">Pay</button></form>"""


class StripeDouble:
    """The state of the stand-in. `webhook_url` None keeps deliveries for `send`."""

    def __init__(self, webhook_url: str | None = None) -> None:
        self.webhook_url = webhook_url
        self.url = ""
        self.sessions: dict[str, dict[str, Any]] = {}
        self.by_idempotency_key: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self.down = False
        fixtures = json.loads((REFERENCE_DATA / "stripe" / "fixtures3.json").read_text())
        self.example = fixtures["resources"]["checkout.session"]

    def create_session(self, fields: dict[str, str], idempotency_key: str) -> dict[str, Any]:
        if known := self.by_idempotency_key.get(idempotency_key):
            return self.sessions[known]
        check_fields(fields)
        session_id = f"cs_test_{secrets.token_hex(12)}"
        amount = int(fields["line_items[0][price_data][unit_amount]"])
        session = {
            **self.example,
            "id": session_id,
            "amount_subtotal": amount,
            "amount_total": amount,
            "currency": fields["line_items[0][price_data][currency]"],
            "client_reference_id": fields.get("client_reference_id"),
            "metadata": {
                name[len("metadata[") : -1]: value
                for name, value in fields.items()
                if name.startswith("metadata[")
            },
            "mode": fields["mode"],
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "success_url": fields["success_url"],
            "url": f"{self.url}/pay/{session_id}",
        }
        self.sessions[session_id] = session
        self.by_idempotency_key[idempotency_key] = session_id
        return session

    def pay(self, session_id: str) -> dict[str, Any]:
        """The customer pays: the session is complete and an event is on its way."""
        session = self.sessions[session_id]
        if session["payment_status"] != "paid":
            session.update(
                payment_status="paid", status="complete", payment_intent=f"pi_{session_id[8:]}"
            )
            self.emit("checkout.session.completed", session)
        return session

    def emit(self, kind: str, subject: dict[str, Any]) -> dict[str, Any]:
        event = {
            "id": f"evt_{secrets.token_hex(12)}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": int(time.time()),
            "livemode": False,
            "type": kind,
            "data": {"object": dict(subject)},
        }
        self.events.append(event)
        if self.webhook_url is not None:
            self.send(event)
        return event

    def send(self, event: dict[str, Any]) -> int:
        """Deliver an event as Stripe would; the status that came back."""
        assert self.webhook_url is not None
        body = json.dumps(event).encode()
        request = urllib.request.Request(
            self.webhook_url,
            data=body,
            headers={"Content-Type": "application/json", "Stripe-Signature": sign(body)},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)


def sign(body: bytes, secret: str = WEBHOOK_SECRET, at: float | None = None) -> str:
    stamp = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def check_fields(fields: dict[str, str]) -> None:
    """Raise ValueError for a parameter that stripe-python's types do not have."""
    known = SessionCreateParams.__annotations__.keys()
    unknown = {name.partition("[")[0] for name in fields} - known
    if unknown:
        raise ValueError(f"unknown parameters: {sorted(unknown)}")


@contextmanager
def stripe_double(webhook_url: str | None = None, port: int = 0) -> Iterator[StripeDouble]:
    """The stand-in on a free port of loopback."""
    double = StripeDouble(webhook_url)
    server = ThreadingHTTPServer(("127.0.0.1", port), handler(double))
    double.url = f"http://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def handler(double: StripeDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            fields = dict(parse_qsl(self.body().decode(), keep_blank_values=True))
            path = urlsplit(self.path).path
            if path.startswith("/pay/"):
                session = double.pay(path.removeprefix("/pay/"))
                self.send_response(303)
                self.send_header("Location", session["success_url"])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif not self.allowed():
                return
            elif path == "/v1/checkout/sessions":
                try:
                    key = self.headers.get("Idempotency-Key", secrets.token_hex(8))
                    self.answer(200, double.create_session(fields, key))
                except (ValueError, KeyError) as error:
                    self.refuse(400, str(error))
            else:
                self.refuse(404, "Unrecognized request URL")

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            kind, _, session_id = path.rpartition("/")
            session = double.sessions.get(session_id)
            if kind == "/pay" and session is not None:
                self.page(PAGE.format(amount=session["amount_total"] / 100))
            elif not self.allowed():
                return
            elif kind == "/v1/checkout/sessions" and session is not None:
                self.answer(200, session)
            else:
                self.refuse(404, f"No such checkout.session: {session_id}")

        def allowed(self) -> bool:
            if double.down:
                self.refuse(503, "down for a test")
                return False
            if self.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
                self.refuse(401, "Invalid API Key provided")
                return False
            return True

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def refuse(self, status: int, message: str) -> None:
            self.answer(status, {"error": {"type": "invalid_request_error", "message": message}})

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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--webhook", help="where events are sent")
    arguments = parser.parse_args()
    with stripe_double(arguments.webhook, arguments.port) as running:
        print(running.url)
        threading.Event().wait()
