from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = _("Billing")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from billing import checks, receivers  # noqa: F401  registers them
        from billing.triggers import create_triggers

        post_migrate.connect(create_triggers, sender=self)
