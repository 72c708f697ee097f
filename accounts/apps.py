from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("People")  # beside the accounts of the ledger, and of allauth
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import audit

        audit.register()
