"""Management commands on the site's tables, which they do not touch while those are made."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError


class SiteCommand(BaseCommand):
    """Says which database it looked into when that is away or has no tables.

    A command that is run without the DATA_DIR of the site beside it meets a new, empty one.
    """

    def execute(self, *args: Any, **options: Any) -> str | None:
        wait_for_tables()
        try:
            return super().execute(*args, **options)
        except (OperationalError, ProgrammingError) as error:
            name = settings.DATABASES["default"]["NAME"]
            raise CommandError(
                f"The database {name} cannot be used: {str(error).strip()}.\n"
                "Are DATA_DIR and DATABASE_URL those of the site, and is it migrated?"
            ) from None


@contextmanager
def making_tables() -> Iterator[None]:
    """Keep commands waiting meanwhile.

    What they write between two migrations, the last of them would write as well (the types of
    contents that the audit log names), and `serve` would end with it.
    """
    with _lock_file().open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def wait_for_tables() -> None:
    """Until a `serve` of this DATA_DIR that is starting has made them; most often that is now."""
    with suppress(OSError), _lock_file().open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)


def _lock_file() -> Path:
    return Path(settings.DATA_DIR, "migrating")
