"""Addresses in settings: what is read of them; what cannot be right is said at the start."""

import os
import subprocess
import sys

import pytest

from portal.lib import addresses
from tests.environment import REPOSITORY


def test_it_reads_a_postgres_url() -> None:
    url = "postgres://al%40ice:p%2Fw@db.example:5433/par%20lance?sslmode=require&target_session_attrs=read-write"
    assert addresses.postgres(url) == {
        "NAME": "par lance", "USER": "al@ice", "PASSWORD": "p/w",
        "HOST": "db.example", "PORT": "5433",
    }  # fmt: skip
    assert addresses.parameters(url) == {
        "sslmode": "require", "target_session_attrs": "read-write",
    }  # fmt: skip
    assert addresses.parameters("postgres://h/name") == {}


@pytest.mark.parametrize("address", ["h:1", "[::1]:50051", "unix:/run/engine.sock"])
def test_an_engine_listens_on_a_port_or_a_path(address: str) -> None:
    assert addresses.engine(address) == address


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BASE_URL", "parlance.example.com"),
        ("BASE_URL", "https://"),
        ("BASE_URL", "https://example.com/parlance"),
        ("DATABASE_URL", "mysql://u:hunter2@h/name"),
        ("DATABASE_URL", "postgres://u:hunter2@h:5432"),
        ("DATABASE_URL", "postgres://u:hunter2@h:port/name"),
        ("DATABASE_URL", "postgres://u:hunter2@h/name?sslmode"),
        ("DB_THREADS", "0"),
        ("ENGINES", "starter=gpu1"),
        ("ENGINES", "starter=gpu1:70000"),
        ("ENGINE_ARGS", "--threads '2"),
        ("ENGINE_DEVICE", "gpu"),
        ("HOME_SAMPLE_BUDGET", "1 dollar"),
        ("LOG_LEVEL", "LOUD"),
        ("PORT", "0"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REQUEST_DEADLINE_S", "-1"),
        ("SOCIAL_PROVIDERS", "github,gogle"),
        ("SOCIAL_PROVIDERS", "../github"),
        ("TOP_UP_CENTS", "5.00,10.00"),
        ("WELCOME_CREDIT", "$5"),
    ],
)
def test_a_wrong_setting_is_named_when_the_site_starts(variable: str, value: str) -> None:
    started = subprocess.run(
        [sys.executable, "-c", "import portal.settings"],
        cwd=REPOSITORY,
        env=os.environ | {variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    last = started.stderr.strip().splitlines()[-1]
    assert started.returncode != 0
    assert last.startswith(f"ValueError: {variable} "), last
    assert "hunter2" not in started.stderr
