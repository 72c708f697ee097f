"""Management commands of a site, each in a fork of a process that has loaded Django already."""

import os

from tests.forks import serve


def run(arguments: list[str]) -> None:
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *arguments])


if __name__ == "__main__":
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    import portal.urls  # noqa: F401  a command's checks would load it

    serve(run)
