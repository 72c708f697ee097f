"""`manage.py loadmodel NAME`: `inference.lifecycle` does the work."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from inference import lifecycle
from inference.models import ModelState
from portal.lib.commands import SiteCommand


class Command(SiteCommand):
    help = "Start a model's engines and let requests in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="as customers call it; no alias")
        parser.add_argument("--engines", type=int, help="how many (default: as many as before)")

    def handle(self, *, name: str, engines: int | None, **_options: Any) -> None:
        try:
            lifecycle.want(name, ModelState.LOADED, num_engines=engines)
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(lifecycle.TOLD[ModelState.LOADED])
