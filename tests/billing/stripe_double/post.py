"""Signed webhooks over HTTP, and what may happen to them on their way."""

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from typing import Any

WEBHOOK_SECRET = "whsec_double"


def sign(body: bytes, secret: str = WEBHOOK_SECRET, at: float | None = None) -> str:
    stamp = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


class Post:
    """Carries events to `url`. Without one, and while `holding`, they wait for `deliver`.

    `losing` drops what is handed over; `copies` is how often each event arrives. What the site
    refuses, or does not take, waits as well, as Stripe tries it again.
    """

    def __init__(self, url: str | None) -> None:
        self.url = url
        self.copies = 1
        self.losing = False
        self.holding = False
        self.waiting: list[dict[str, Any]] = []

    def hand_over(self, event: dict[str, Any]) -> None:
        if self.losing:
            return
        self.waiting.append(event)
        if self.url is not None and not self.holding:
            self.deliver()

    def deliver(self, *, newest_first: bool = False) -> list[int]:
        """Send what waits, in the order of its making unless told otherwise; each status."""
        events = self.waiting[::-1] if newest_first else self.waiting
        self.waiting = []
        statuses = []
        for event in events:
            came = [self.send(event) for _ in range(self.copies)]
            if not any(200 <= status < 300 for status in came):
                self.waiting.append(event)
            statuses += came
        return statuses

    def send(self, event: dict[str, Any]) -> int:
        """One delivery; the status that came back, 0 when nobody answered."""
        assert self.url is not None
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": sign(body)}
        request = urllib.request.Request(self.url, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0
