"""`manage.py trainstarter`: makes the starter model; `inference.training` does the work."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    help = "Generate the corpus, train the starter model and export it. Stopped runs resume."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        # The web process must not load torch, so what imports it is imported by its commands alone.
        from inference.training.__main__ import add_train_arguments

        add_train_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        from inference.training.__main__ import run_train

        run_train(argparse.Namespace(**options))
