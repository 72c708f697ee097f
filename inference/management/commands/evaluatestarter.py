"""`manage.py evaluatestarter`: measures the starter model; `inference.training` does the work."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Print held-out perplexity and accuracy against their bars; fail when one is missed."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        # The web process must not load torch, so what imports it is imported by its commands alone.
        from inference.training.__main__ import add_evaluate_arguments

        add_evaluate_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        from inference.training.__main__ import run_evaluate

        if not run_evaluate(argparse.Namespace(**options)):
            raise CommandError("The model misses a bar.")
