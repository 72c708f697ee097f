"""Many at once pass no limit: 200 clients, in one process, on Redis, and in two processes."""

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings

from accounts.authentication import Caller
from inference import pace
from inference.errors import ServiceError
from inference.limits import Allowance, RateLimits
from tests.databases import copy_of_migrated
from tests.environment import REPOSITORY
from tests.services import redis_server

CLIENTS = 200
CAPACITY = 1_200  # a minute's
TRIES = 10
ORGANISATION = "many"
# Nothing here is about how soon Redis answers, which on a busy machine is late.
PATIENT = {
    **pace.REDIS_OPTIONS,
    "CONNECTION_POOL_KWARGS": {"max_connections": 32, "timeout": 60},
    "SOCKET_TIMEOUT": 60,
    "SOCKET_CONNECT_TIMEOUT": 60,
}


async def admitted(taking: RateLimits, clients: int) -> tuple[int, list[float]]:
    """How many of the tries of so many clients at once passed.

    And three moments: the start, when the last one that was refused had asked, and the end.
    """
    caller = Caller(ORGANISATION, 10_000, None, 1, "session", "inference")
    await warm_up(taking, caller)
    refused = begin = time.time()

    async def client() -> int:
        nonlocal refused
        passed = 0
        for _ in range(TRIES):
            asked = time.time()
            try:
                await taking.take(caller, "requests", 1, Allowance())
                passed += 1
            except ServiceError as refusal:
                if refusal.status != 429:
                    raise
                refused = max(refused, asked)
        return passed

    passed = sum(await asyncio.gather(*(client() for _ in range(clients))))
    return passed, [begin, refused, time.time()]


async def warm_up(taking: RateLimits, caller: Caller) -> None:
    """Read the tier and connect to the store: while that takes, nothing can flow back."""
    await taking.take(caller, "tokens", 1, Allowance())  # of which there is no limit
    await taking.take(
        dataclasses.replace(caller, organisation_id="other"), "requests", 1, Allowance()
    )


def assert_true(passed: int, begin: float, refused: float, end: float) -> None:
    """The capacity, and what flowed back meanwhile, to one percent; at most all that tried.

    What flowed back before somebody was refused must have passed; what did later need not.
    """
    least, most = (
        min(CAPACITY + CAPACITY / 60 * (moment - begin), CLIENTS * TRIES)
        for moment in (refused, end)
    )
    tolerance = 0.01 * CAPACITY
    assert least - tolerance <= passed <= most + tolerance, (least, passed, most)


@pytest.fixture(autouse=True)
def _one_tier(flushable: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "RATE_LIMIT_TIERS", [f"only:0:{CAPACITY}:0"])
    monkeypatch.setattr(pace, "REDIS_OPTIONS", PATIENT)


async def test_in_one_process() -> None:
    passed, moments = await admitted(RateLimits(), CLIENTS)
    assert_true(passed, *moments)


@pytest.mark.services
async def test_on_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_server() as address:
        monkeypatch.setattr(settings, "REDIS_URL", address)
        passed, moments = await admitted(RateLimits(), CLIENTS)
    assert_true(passed, *moments)


PROCESS = """
import asyncio, json, sys
import django
django.setup()
from inference import limits, pace
from tests.inference.test_limits_at_once import CLIENTS, PATIENT, admitted
pace.REDIS_OPTIONS = PATIENT
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(asyncio.run(admitted(limits.RateLimits(), CLIENTS // 2))))
"""


@pytest.mark.services
@pytest.mark.slow
def test_in_two_processes_on_one_redis(tmp_path: Path) -> None:
    with redis_server() as address:
        folders = [tmp_path / name for name in ("one", "another")]
        for folder in folders:
            folder.mkdir()
            copy_of_migrated(folder)
        processes = [start(str(folder), address) for folder in folders]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    counts = [passed for passed, _moments in results]
    assert all(counts)
    begins, refusals, ends = zip(*(moments for _passed, moments in results), strict=True)
    assert_true(sum(counts), min(begins), max(refusals), max(ends))


def start(data_dir: str, redis_url: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ, "DATA_DIR": data_dir, "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "portal.settings", "RATE_LIMIT_TIERS": f"only:0:{CAPACITY}:0",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS], cwd=REPOSITORY, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
