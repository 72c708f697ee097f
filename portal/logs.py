"""Structured logs: one line an event, with the request's id, never with prompts or keys.

Development gets readable lines, production JSON. What looks like an API key is masked even when
a library logs it by accident. Our own events go straight to the renderer: through the standard
library a line cost two and a half times as much, and every request writes one.
"""

import logging
import logging.config
import re
import sys
from contextlib import suppress
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

_PREFIXES = ("sk-prl-", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_")
_KEY = re.compile(rf"\b({'|'.join(_PREFIXES)})[A-Za-z0-9_+/=]+")  # to the end of base64, too


def configure(options: dict[str, Any]) -> None:
    """Set up logging from settings.LOGGING: `level` and `json`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks without local variables: those hold prompts.
    renderer: list[Any] = (
        [
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
        if options["json"]
        else [
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    finish: list[Any] = [*renderer, mask_secrets]
    structlog.configure(
        processors=[*shared, *finish],
        logger_factory=LineLogger,
        wrapper_class=structlog.make_filtering_bound_logger(options["level"]),
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
                        *finish,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": {
                # One line a request is written by our own code where it matters.
                "uvicorn.access": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},
                # Sweeps succeed every five seconds; what fails is an error.
                "celery.app.trace": {"level": "WARNING"},
                "celery.beat": {"level": "WARNING"},
                "celery.worker.strategy": {"level": "WARNING"},
                "stripe": {"level": "WARNING"},
            },
        }
    )


class LineLogger:
    """Writes finished lines; has a name, as the standard library's loggers have.

    A line that cannot be written, on a full disk say, is lost: whoever has something to say is in
    the middle of a request, and gets to its end.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        with suppress(OSError):
            sys.stderr.write(f"{line}\n")  # looked up each time: it may have been replaced

    debug = info = warning = error = critical = msg


def mask_secrets(_logger: Any, _method: str, line: str) -> str:
    """The last step: mask what looks like a secret wherever it stands in the finished line."""
    if any(prefix in line for prefix in _PREFIXES):  # as nearly never: a tenth of the search's time
        return _KEY.sub(r"\1…", line)
    return line
