from django.apps import AppConfig
from django.contrib.staticfiles.apps import StaticFilesConfig


class StaticFiles(StaticFilesConfig):
    """Without what no page asks for, which was two thirds of 35 MB."""

    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "*.map", "redoc", "rest_framework"]


class PortalConfig(AppConfig):
    name = "portal"
    default = True
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Tasks import models, which exist from here on.
        from accounts.tasks import BEAT_SCHEDULE as ACCOUNTS
        from billing.tasks import BEAT_SCHEDULE as BILLING
        from inference.tasks import BEAT_SCHEDULE as INFERENCE
        from portal import checks, names  # noqa: F401  the checks register themselves
        from portal.celery import app

        names.make_translatable()
        app.conf.beat_schedule = {**ACCOUNTS, **BILLING, **INFERENCE}
