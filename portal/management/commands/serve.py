"""`manage.py serve`: the whole product in one command."""

import os
import socket
import sys
import warnings
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from inference import catalog
from portal import static
from portal.celery import EmbeddedCelery
from portal.lib.commands import making_tables
from portal.serving import folders
from portal.serving.server import serve
from portal.serving.supervisor import Supervisor


class Command(BaseCommand):
    help = "Migrate, then start the site, its jobs and its engines; Ctrl-C drains and stops."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help="default: PORT, else 8000")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument(
            "--web-only",
            action="store_true",
            help="only the site: engines, worker and beat run elsewhere, migrations are done",
        )

    def handle(self, *, port: int | None, host: str, web_only: bool, **_options: Any) -> None:
        if port is not None and port != settings.PORT:
            become_port(port)
        listener = listen(host, settings.PORT)
        if web_only:
            self.run(listener, web_only=True)
            return
        try:
            with folders.alone_in(settings.DATA_DIR):
                self.prepare()
                self.run(listener, web_only=False)
        except folders.TakenError as error:
            raise CommandError(str(error)) from None

    def run(self, listener: socket.socket, *, web_only: bool) -> None:
        """Serve until SIGINT or SIGTERM."""
        # Whitenoise hands its small files over as plain iterators; nobody can do anything about it.
        warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")
        supervisor = None if web_only or settings.ENGINES else Supervisor()
        jobs = EmbeddedCelery() if not web_only and embedded_jobs() else None
        if supervisor is not None:
            supervisor.start()
        if jobs is not None:
            jobs.start()
        try:
            serve("portal.asgi:application", listener)
        finally:
            if jobs is not None:
                jobs.stop()
            if supervisor is not None:
                supervisor.stop()
            if not web_only:
                fold_log()

    def prepare(self) -> None:
        """Bring database and static files up to date, and say where everything is."""
        self.stdout.write("Preparing the database …")
        with making_tables():
            call_command("migrate", verbosity=0)
        static.collect()
        catalog.ensure_starter()
        settings.ADDRESS_FILE.write_text(settings.BASE_URL)
        self.stdout.write(f"\n  {settings.SITE_NAME}   {settings.BASE_URL}")
        self.stdout.write(
            "  Operator console (works once, for 15 minutes; manage.py operatorlink makes another):"
        )
        self.stdout.write("  ", ending="")
        call_command("operatorlink", stdout=self.stdout)
        self.stdout.write(f"  Data and logs   {settings.DATA_DIR}\n\n")
        self.stdout.flush()


def listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is begun in vain; nobody is let in yet."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise CommandError(f"Cannot listen on {host}, PORT {port}: {reason}.") from None
    return listener


def fold_log() -> None:
    """Write SQLite's log into its file: whoever copies or replaces that file may not know of it."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def become_port(port: int) -> None:
    """Start over with PORT set, since addresses in settings follow from it."""
    os.environ["PORT"] = str(port)
    os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606


def embedded_jobs() -> bool:
    """Whether worker and beat run in this process: unless a real broker was configured."""
    return bool(settings.CELERY_BROKER_URL.startswith("memory"))
