"""Management commands on the site's tables."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError


class SiteCommand(BaseCommand):
    """Says which database it looked into when that is away or has no tables.

    A command that is run without the DATA_DIR of the site beside it meets a new, empty one.
    """

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (OperationalError, ProgrammingError) as error:
            name = settings.DATABASES["default"]["NAME"]
            raise CommandError(
                f"The database {name} cannot be used: {str(error).strip()}.\n"
                "Are DATA_DIR and DATABASE_URL those of the site, and is it migrated?"
            ) from None
