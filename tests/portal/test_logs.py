"""Logs: keys are masked whoever logs them, request ids are in every line, JSON in production."""

import errno
import io
import json
import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from django.conf import settings

from portal import logs

KEY = "sk-prl-" + "a1B2" * 12


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What production's logging writes during the test."""
    logs.configure({"level": "INFO", "json": True})
    handler = next(h for h in logging.getLogger().handlers if type(h) is logging.StreamHandler)
    written = io.StringIO()
    handler.setStream(written)
    with pytest.MonkeyPatch.context() as patch:
        # Not in sys itself: pytest puts its own there again when the test begins.
        patch.setattr(logs, "sys", SimpleNamespace(stderr=written))
        yield written
    logs.configure(settings.LOGGING)


def last(lines: io.StringIO) -> dict[str, str]:
    line: dict[str, str] = json.loads(lines.getvalue().splitlines()[-1])
    return line


def test_a_key_is_masked_in_our_own_lines(lines: io.StringIO) -> None:
    structlog.get_logger("test").info("refused", authorization=f"Bearer {KEY}")
    assert last(lines)["authorization"] == "Bearer sk-prl-…"
    assert last(lines)["event"] == "refused"
    assert last(lines)["logger"] == "test"
    assert last(lines)["level"] == "info"


def test_our_own_lines_below_the_level_are_not_written(lines: io.StringIO) -> None:
    structlog.get_logger("test").debug("a detail")
    assert not lines.getvalue()


def test_a_line_that_cannot_be_written_costs_nobody_anything(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(logs, "sys", SimpleNamespace(stderr=SimpleNamespace(write=full)))
        structlog.get_logger("test").error("lost")
    structlog.get_logger("test").error("kept")
    assert "lost" not in lines.getvalue()
    assert last(lines)["event"] == "kept"


def test_a_key_is_masked_in_a_librarys_lines(lines: io.StringIO) -> None:
    logging.getLogger("library").warning("headers: %s", {"key": KEY})
    assert "headers" in last(lines)["event"]
    assert KEY not in lines.getvalue()


@pytest.mark.parametrize(
    "kind", ["sk-prl-", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"]
)
def test_every_kind_of_secret_is_masked(lines: io.StringIO, kind: str) -> None:
    """Ours, and those that Stripe gives an operator: restricted keys begin with another letter."""
    structlog.get_logger("test").info("refused", key=f"{kind}+a1/B2c3=")
    assert last(lines)["key"] == f"{kind}…"


@pytest.mark.parametrize("get_logger", [structlog.get_logger, logging.getLogger])
def test_a_traceback_has_neither_keys_nor_local_variables(
    lines: io.StringIO, get_logger: Callable[[str], Any]
) -> None:
    try:
        prompt = "a private prompt"
        raise ValueError(f"bad key {KEY}")
    except ValueError:
        get_logger("whoever").exception("it failed")
    assert last(lines)["event"] == "it failed"
    assert "ValueError" in lines.getvalue()
    assert KEY not in lines.getvalue()
    assert prompt not in lines.getvalue()


def test_jobs_that_succeed_every_few_seconds_are_not_logged_and_those_that_fail_are(
    lines: io.StringIO,
) -> None:
    for name in ("celery.beat", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).info("all is well")
        assert not lines.getvalue()
    logging.getLogger("celery.app.trace").error("it failed")
    assert last(lines)["event"] == "it failed"


def test_every_line_has_the_requests_id(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="req_7"):
        for logger in (logging.getLogger("library"), structlog.get_logger("test")):
            logger.warning("slow")
            assert last(lines)["request_id"] == "req_7"
