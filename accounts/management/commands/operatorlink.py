"""`manage.py operatorlink`: a link that signs an operator in, once."""

from typing import Any

from accounts import operators
from portal.lib.commands import SiteCommand


class Command(SiteCommand):
    help = "Print a one-time link that signs in as an operator (valid for 15 minutes)."

    def handle(self, **_options: Any) -> None:
        self.stdout.write(operators.make_link())
