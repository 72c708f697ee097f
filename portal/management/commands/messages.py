"""`manage.py messages`: brings the catalogues up to date with the code, and compiles them.

For those who change strings; it needs GNU gettext. What it writes is committed, so that an
installation does not: see portal/locale/README.md.
"""

import importlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation.template import templatize

from portal import names

SOURCES = ("accounts", "billing", "inference", "playground", "portal", "templates")
# What libraries say on our pages: their own translations lack some of it, and speak otherwise.
BORROWED = (
    "allauth/account", "allauth/mfa", "allauth/usersessions", "allauth/templates/account",
    "allauth/templates/mfa", "allauth/templates/usersessions", "auditlog",
)  # fmt: skip
# What Django's translation lacks of what it says on our pages: each with its plural, if any.
GAPS = (
    ("Add link",),
    ("Change or view list link",),
    ("Error:",),
    ("Model name",),
    ("This password is too short. It must contain at least %d character.",
     "This password is too short. It must contain at least %d characters."),
)  # fmt: skip
# Those that xgettext does not know of itself.
KEYWORDS = (
    "gettext_noop", "gettext_lazy", "ngettext_lazy:1,2", "pgettext:1c,2", "npgettext:1c,2,3",
    "pgettext_lazy:1c,2", "npgettext_lazy:1c,2,3",
)  # fmt: skip
# Sorted, and without the places where a string stands: what moves in the code changes nothing
# here, and two branches that add strings merge.
FORM = ("--sort-output", "--no-location", "--no-wrap")


class Command(BaseCommand):
    help = "Update and compile portal/locale (for developers; needs GNU gettext)."
    requires_system_checks: list[str] = []

    def handle(self, **_options: Any) -> None:
        if not shutil.which("xgettext"):
            raise CommandError("Missing: GNU gettext (Debian: apt-get install gettext)")
        for catalogue in catalogues():
            catalogue.write_text(updated(catalogue))
            run("msgfmt", "--check-format", "-o", str(catalogue.with_suffix(".mo")), str(catalogue))
            told = run("msgfmt", "--statistics", "-o", "/dev/null", str(catalogue), to_say=True)
            self.stdout.write(f"{catalogue.relative_to(settings.BASE_DIR)}: {told.strip()}")


def catalogues() -> list[Path]:
    return sorted(Path(settings.LOCALE_PATHS[0]).glob("*/LC_MESSAGES/django.po"))


def updated(catalogue: Path) -> str:
    """The catalogue with every string of the code, and no other; new ones have no translation."""
    with tempfile.TemporaryDirectory(prefix="messages-") as folder:
        template, merged = Path(folder) / "django.pot", Path(folder) / "django.po"
        template.write_text(strings(Path(folder) / "sources"))
        # What resembles another string is not a translation of it.
        run("msgmerge", "--quiet", "--no-fuzzy-matching", *FORM, "-o", str(merged),
            str(catalogue), str(template))  # fmt: skip
        text = run("msgattrib", "--no-obsolete", *FORM, str(merged))
    return "".join(
        line for line in text.splitlines(keepends=True) if "POT-Creation-Date" not in line
    )


def strings(folder: Path) -> str:
    """All marked strings of the code, as a template of a catalogue; works in `folder`."""
    for name, source in [*sources(), *borrowed()]:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text()
        if source.suffix != ".py":  # xgettext reads Python: Django rewrites templates to it
            text = templatize(text, origin=str(source))
        target.write_text(text)
    marked = [f"pgettext({names.CONTEXT!r}, {name!r})" for name in sorted(names.to_translate())]
    marked += [f"ngettext{(*gap, 1)}" if gap[1:] else f"gettext({gap[0]!r})" for gap in GAPS]
    (folder / "names.py").write_text("\n".join(marked))
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    keywords = [f"--keyword={keyword}" for keyword in KEYWORDS]
    return run("xgettext", "--language=Python", "--from-code=UTF-8", "--add-comments=Translators",
               *keywords, *FORM, "-o", "-", *files, cwd=folder)  # fmt: skip


def sources() -> Iterator[tuple[str, Path]]:
    """Our files that may hold strings, by their names in the repository."""
    for folder in SOURCES:
        yield from files_below(settings.BASE_DIR / folder, settings.BASE_DIR)


def borrowed() -> Iterator[tuple[str, Path]]:
    """Those of libraries, without the templates that we have instead."""
    for folder in BORROWED:
        package, _slash, rest = folder.partition("/")
        [root] = importlib.import_module(package).__path__
        for name, path in files_below(Path(root) / rest, Path(root).parent):
            ours = settings.BASE_DIR / "templates" / name.removeprefix("allauth/templates/")
            if "tests" not in path.parts and not ours.is_file():
                yield name, path


def files_below(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        if path.suffix in {".py", ".html", ".txt"} and path.is_file():
            yield str(path.relative_to(root)), path


def run(*command: str, cwd: Path | None = None, to_say: bool = False) -> str:
    """What a tool of gettext's wrote; `to_say`: to those who watch it, not as its output."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise CommandError(f"{command[0]}: {done.stderr.strip()}")
    return done.stderr if to_say else done.stdout
