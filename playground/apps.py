from django.apps import AppConfig
from django.db.models.signals import post_migrate


class PlaygroundConfig(AppConfig):
    name = "playground"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from playground.triggers import create_triggers  # which registers its check, too

        post_migrate.connect(create_triggers, sender=self)
