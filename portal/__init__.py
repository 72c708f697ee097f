"""The Django project: settings, routing, and the pages that show several apps at once."""

# `@shared_task` binds to this application because it is imported with the project.
from portal.celery import app as celery_app

__all__ = ["celery_app"]
