"""Addresses in settings: what is read of them; what cannot be right is said at the start."""

import os
import runpy
import socket
import traceback
from email.header import decode_header, make_header
from email.utils import parseaddr
from typing import Any

import psycopg
import pytest
from django.core.mail.message import sanitize_address
from django.db import DEFAULT_DB_ALIAS, ConnectionHandler, OperationalError

from portal.lib import addresses
from portal.lib.db import is_away
from portal.settings import _database
from tests.environment import REPOSITORY
from tests.services import postgres_server


def settings_with(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    """What a site that starts with this environment has; ValueError when it does not start."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(REPOSITORY / "portal" / "settings.py"))


def test_it_reads_a_postgres_url() -> None:
    url = "postgres://al%40ice:p%2Fw@db.example:5433/par%20lance?sslmode=require&target_session_attrs=read-write"
    assert addresses.postgres(url) == {
        "NAME": "par lance", "USER": "al@ice", "PASSWORD": "p/w",
        "HOST": "db.example", "PORT": "5433",
    }  # fmt: skip
    assert addresses.parameters(url) == addresses.VANISHED_SERVER | {
        "sslmode": "require", "target_session_attrs": "read-write",
    }  # fmt: skip
    assert addresses.parameters("postgres://h/name") == addresses.VANISHED_SERVER
    assert addresses.parameters("postgres://h/name?tcp_user_timeout=0")["tcp_user_timeout"] == "0"


def test_a_parameter_that_libpq_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match='invalid connection option "sslmod"'):
        addresses.parameters("postgres://h/name?sslmod=require")


@pytest.mark.services
def test_a_database_whose_machine_vanishes_is_given_up_in_seconds() -> None:
    """By the system: the promise is in the connection's own options."""
    with (
        postgres_server() as url,
        psycopg.connect(url, **addresses.parameters(url)) as connection,
        socket.socket(fileno=os.dup(connection.fileno())) as wire,
    ):
        silent_ms = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        idle_s, between_s, count = (
            wire.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
    assert 0 < silent_ms <= 30_000
    assert idle_s + between_s * count <= 30


@pytest.mark.services
@pytest.mark.django_db
def test_nobody_waits_longer_for_a_lock_than_the_address_says() -> None:
    lock = "SELECT pg_advisory_lock(1)"
    with postgres_server() as url:
        impatient = _database(f"{url}?options=-c%20lock_timeout%3D200ms")
        ours = ConnectionHandler({DEFAULT_DB_ALIAS: impatient})[DEFAULT_DB_ALIAS]
        with psycopg.connect(url) as holder, ours.cursor() as cursor:
            holder.execute(lock)
            with pytest.raises(OperationalError) as refusal:
                cursor.execute(lock)
        ours.close()
        ours.close_pool()
    assert is_away(refusal.value), "a 503, as of a database that is away"


@pytest.mark.parametrize("address", ["h:1", "[::1]:50051", "unix:/run/engine.sock"])
def test_an_engine_listens_on_a_port_or_a_path(address: str) -> None:
    assert addresses.engine(address) == address


def test_jobs_wait_in_a_redis_behind_a_path_as_anywhere_else() -> None:
    assert addresses.redis("unix:///run/redis.sock") == "unix:///run/redis.sock"
    assert addresses.broker("unix:///run/redis.sock") == "redis+socket:///run/redis.sock"
    for url in ("redis://h:6379/0", "amqp://u:p@h//", "memory://localhost"):
        assert addresses.broker(url) == url


@pytest.mark.parametrize("name", ["", "smtp.example.com", "192.0.2.1", "2001:db8::1"])
def test_a_mail_server_is_a_host(name: str) -> None:
    assert addresses.mail_server(name) == name


def test_only_a_redis_is_spoken_to_in_its_way() -> None:
    of_redis = {"socket_timeout": 5}
    for url in ("redis://h", "rediss://h", "redis+socket:///run/redis.sock"):
        assert addresses.broker_options(url, of_redis) == of_redis
    assert addresses.broker_options("amqp://h", of_redis) == {}
    assert "polling_interval" in addresses.broker_options("memory://localhost", of_redis)


def test_an_origin_is_spelt_as_browsers_do() -> None:
    assert addresses.origin("HTTPS://Example.com:8443/") == "https://example.com:8443"
    assert addresses.origin("https://*.example.com") == "https://*.example.com"
    assert addresses.origin("*") == "*"


@pytest.mark.parametrize("name", ["Acme, Inc.", "Acme: models", "A @ B", 'The "Lab"', "Müller"])
def test_whatever_a_site_is_called_its_mails_have_one_sender(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings = settings_with(monkeypatch, SITE_NAME=name, BASE_URL="https://example.com")
    envelope = sanitize_address(settings["DEFAULT_FROM_EMAIL"], "utf-8")
    assert parseaddr(envelope)[1] == "no-reply@example.com"
    assert str(make_header(decode_header(parseaddr(envelope)[0]))) == name


def test_a_site_below_a_bare_ipv6_address_answers_to_it_and_sends_mails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_with(monkeypatch, BASE_URL="http://[fd00::5]:8000")
    assert settings["ALLOWED_HOSTS"][0] == "[fd00::5]"
    assert settings["DEFAULT_FROM_EMAIL"] == "Parlance <no-reply@[fd00::5]>"


def test_amounts_that_would_be_refused_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(monkeypatch, TOP_UP_MIN_CENTS="1000", TOP_UP_MAX_CENTS="2500")
    assert settings["TOP_UP_CENTS"] == [1000, 2500]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALLOWED_HOSTS", "https://example.com"),
        ("ALLOWED_HOSTS", "example.com:8000"),
        ("ALLOWED_HOSTS", "example.com www.example.com"),
        ("API_CORS_ORIGINS", "example.com"),
        ("BASE_URL", "parlance.example.com"),
        ("BASE_URL", "https://"),
        ("BASE_URL", "https://example.com/parlance"),
        ("BASE_URL", "https://u:hunter2@example.com"),
        ("BASE_URL", "https://bücher.example"),
        ("CELERY_BROKER_URL", "127.0.0.1:6379"),
        ("CELERY_BROKER_URL", "http://u:hunter2@h"),
        ("DATABASE_URL", "mysql://u:hunter2@h/name"),
        ("DATABASE_URL", "postgres://u:hunter2@h:5432"),
        ("DATABASE_URL", "postgres://u:hunter2@h:port/name"),
        ("DATABASE_URL", "postgres://u:hunter2@h/name?sslmode"),
        ("DB_THREADS", "0"),
        ("DEFAULT_FROM_EMAIL", "Acme, Inc. <no-reply@example.com>"),
        ("DEFAULT_FROM_EMAIL", "nobody"),
        ("EMAIL_HOST", "smtp.example.com:587"),
        ("EMAIL_HOST", "smtp://smtp.example.com"),
        ("ENGINES", "starter=gpu1"),
        ("ENGINES", "starter=http://gpu1:50051"),
        ("ENGINES", "starter=gpu1:50051;other=gpu2:50051"),
        ("ENGINES", "starter=gpu1:70000"),
        ("ENGINE_ARGS", "--threads '2"),
        ("ENGINE_DEVICE", "gpu"),
        ("HOME_SAMPLE_BUDGET", "1 dollar"),
        ("LOG_LEVEL", "LOUD"),
        ("PORT", "0"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REDIS_URL", "redis:6379"),
        ("REQUEST_DEADLINE_S", "-1"),
        ("SOCIAL_PROVIDERS", "github,gogle"),
        ("SOCIAL_PROVIDERS", "../github"),
        ("TOP_UP_CENTS", "5.00,10.00"),
        ("WELCOME_CREDIT", "$5"),
    ],
)
def test_a_wrong_setting_is_named_when_the_site_starts(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    with pytest.raises(ValueError, match=rf"\A{variable} ") as refusal:
        settings_with(monkeypatch, **{variable: value})
    assert "hunter2" not in "".join(traceback.format_exception(refusal.value))
