"""Structured logs: one line an event, with the request's id, never with prompts or keys.

Development gets readable lines, production JSON. What looks like an API key is masked even when
a library logs it by accident.
"""

import logging
import logging.config
import re
from collections.abc import MutableMapping
from typing import Any

import structlog

_KEY = re.compile(r"\b(sk-prl-|sk_live_|sk_test_|whsec_)[A-Za-z0-9_]+")


def configure(options: dict[str, Any]) -> None:
    """Set up logging from settings.LOGGING: `level` and `json`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    renderer: list[Any] = (
        [structlog.processors.dict_tracebacks, mask_secrets, structlog.processors.JSONRenderer()]
        if options["json"]
        else [structlog.dev.ConsoleRenderer(colors=False)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *renderer,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": {
                # One line a request is written by our own code where it matters.
                "uvicorn.access": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},
                "stripe": {"level": "WARNING"},
            },
        }
    )


def mask_secrets(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace what looks like a secret in any string of the event."""
    for name, value in event.items():
        if isinstance(value, str) and "sk" in value:
            event[name] = _KEY.sub(r"\1…", value)
    return event
