"""Static files with a hash in their names, ES module imports included."""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.apps import StaticFilesConfig
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from whitenoise.storage import CompressedManifestStaticFilesStorage


def _but_source_maps(patterns: Any) -> Any:
    """Django's patterns of addresses in files, without those of source maps: none is served."""
    return tuple(
        (
            extension,
            tuple(each for each in found if "sourceMappingURL" not in str(each)),
        )
        for extension, found in patterns
    )


class ManifestStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    support_js_module_import_aggregation = True
    manifest_strict = False
    patterns = _but_source_maps(CompressedManifestStaticFilesStorage.patterns)

    def stored_name(self, name: str) -> str:
        """The hashed name; the plain one while nothing was collected (tests, first start)."""
        return super().stored_name(name) if self.hashed_files else name


def collect() -> None:
    """Collect the static files, unless those that are there were made from the same sources."""
    made_from = Path(settings.STATIC_ROOT) / ".made-from"
    sources = _sources()
    was_whole = made_from.exists()
    if was_whole and made_from.read_text() == sources:
        return
    made_from.unlink(missing_ok=True)
    # A full disk or a kill leaves a file that is cut short, and Django keeps it: it is newer than
    # its source.
    call_command("collectstatic", verbosity=0, interactive=False, clear=not was_whole)
    made_from.write_text(sources)


def _sources() -> str:
    """A digest of what would be collected, and by what."""
    lines = [f"{name} {version(name)}" for name in ("django", "whitenoise")]
    lines.append(hashlib.sha256(Path(__file__).read_bytes()).hexdigest())
    config = cast("StaticFilesConfig", apps.get_app_config("staticfiles"))
    for finder in get_finders():
        for path, storage in finder.list(config.ignore_patterns):
            found = Path(storage.path(path)).stat()
            lines.append(f"{storage.path(path)} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
