from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Tasks import models, which exist from here on.
        from accounts.tasks import BEAT_SCHEDULE as ACCOUNTS
        from billing.tasks import BEAT_SCHEDULE as BILLING
        from inference.tasks import BEAT_SCHEDULE as INFERENCE
        from portal import checks  # noqa: F401  registers the system checks
        from portal.celery import app

        app.conf.beat_schedule = {**ACCOUNTS, **BILLING, **INFERENCE}
