"""Static files with a hash in their names, ES module imports included."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ManifestStorage(CompressedManifestStaticFilesStorage):
    support_js_module_import_aggregation = True
    # A page that names a missing file must fail in tests, not in front of a customer; but while
    # nothing was collected yet (tests, first start) plain names work too.
    manifest_strict = False
