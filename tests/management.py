"""A program that calls the management API."""

from typing import Any

from django.test import Client
from django.urls import reverse

Answer = Any


class Program:
    """Calls the management API with one key."""

    def __init__(self, secret: str) -> None:
        self.headers = {"Authorization": f"Bearer {secret}"}

    def __call__(self, method: str, name: str, body: Any = None, args: Any = ()) -> Answer:
        raw = body if isinstance(body, str | bytes) else None
        options: dict[str, Any] = {"content_type": "application/json", "headers": self.headers}
        if body is not None:
            options["data"] = body if raw is None else raw
        return getattr(Client(), method)(reverse(name, args=args), **options)
