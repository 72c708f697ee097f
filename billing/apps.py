from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BillingConfig(AppConfig):
    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from billing import checks, receivers  # noqa: F401  registers them
        from billing.triggers import create_triggers

        post_migrate.connect(create_triggers, sender=self)
