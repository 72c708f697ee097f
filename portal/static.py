"""Static files with a hash in their names, ES module imports included."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ManifestStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    support_js_module_import_aggregation = True
    manifest_strict = False

    def stored_name(self, name: str) -> str:
        """The hashed name; the plain one while nothing was collected (tests, first start)."""
        return super().stored_name(name) if self.hashed_files else name
