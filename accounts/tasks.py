"""Celery tasks of this part and their schedule."""

from typing import Any

BEAT_SCHEDULE: dict[str, Any] = {}
