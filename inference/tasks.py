"""Celery tasks of inference and their schedule: what was kept long enough is deleted."""

from typing import Any

from celery import shared_task

from inference.log import retention

BEAT_SCHEDULE: dict[str, Any] = {
    "delete-what-is-over": {"task": "inference.tasks.delete_what_is_over", "schedule": 1800.0},
}


@shared_task
def delete_what_is_over() -> None:
    retention.delete_what_is_over()
