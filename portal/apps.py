from typing import Any

from django.apps import AppConfig, apps

# Static files that no page asks for, which were two thirds of 35 MB.
UNUSED = ["*.map", "redoc", "rest_framework"]


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
        # Not by a subclass of their config: tools look for `django.contrib.staticfiles` by this
        # name, pytest-django's live server for one.
        static: Any = apps.get_app_config("staticfiles")
        static.ignore_patterns = [*static.ignore_patterns, *UNUSED]
        app.conf.beat_schedule = {**ACCOUNTS, **BILLING, **INFERENCE}
