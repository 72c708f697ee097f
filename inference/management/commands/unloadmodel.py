"""`manage.py unloadmodel NAME`: `inference.lifecycle` does the work."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from inference import lifecycle
from inference.models import ModelState
from portal.lib.commands import SiteCommand


class Command(SiteCommand):
    help = "Let what runs of a model finish, then end its engines and free their memory."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="as customers call it; no alias")

    def handle(self, *, name: str, **_options: Any) -> None:
        try:
            lifecycle.want(name, ModelState.UNLOADED)
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(lifecycle.TOLD[ModelState.UNLOADED])
