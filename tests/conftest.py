"""The cast: Alice owns a funded organisation, Bob is her colleague, Charlie is a stranger."""

import gc
import os
from collections.abc import Callable, Generator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import django.db.backends.sqlite3.base  # noqa: F401  before its operations, on PostgreSQL
import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.core.management.commands import flush
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.backends.sqlite3.operations import DatabaseOperations
from django.dispatch import receiver
from django.test import Client, override_settings
from django.utils import timezone, translation
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from accounts import flows
from accounts.models import ApiKey, Membership, Organisation, Role, Scope, User
from billing import ledger, triggers
from inference import service
from portal.lib.money import NANOS_PER_DOLLAR
from tests.databases import SQLITE, copy_of_migrated
from tests.environment import CI, REFERENCE_DATA
from tests.inference.engines import (  # noqa: F401  fixtures, once for all folders
    caller_engine,
    slow_engine,
    starter_engine,
)
from tests.management import Program


@receiver(connection_created)
def _write_without_waiting_for_the_disk(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    """No test cuts the power, and waiting for the disk would be most of the run."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=OFF")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collection loads stays until the end.

    To look through it for garbage took a fifth of its time, and half a second now and then in the
    middle of the tests.
    """
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium for a file's tests."""
    from tests.browser import chromium

    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def orm_beside_playwright() -> Iterator[None]:
    """Playwright's event loop runs in this thread; the test's own queries do not harm it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield


@pytest.fixture
def live_server(live_server: LiveServer, settings: Settings) -> LiveServer:
    """pytest-django's, whose home page asks for no sample.

    It speaks WSGI, which cannot stream one: an engine that another file left running would be
    connected to in an event loop that ends with the request.
    """
    settings.HOME_SAMPLE_NANOS = 0
    return live_server


@pytest.fixture(scope="session", autouse=True)
def _passwords_are_hashed_fast() -> Iterator[None]:
    """A good hash is slow on purpose; sites of the story have it."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(autouse=True)
def _no_test_hears_another_ones_language() -> Iterator[None]:
    """A test's client leaves the language of its last request behind."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def _no_test_leaves_a_service_behind() -> Iterator[None]:
    """Its connections would fail another test: whichever runs when the garbage is collected."""
    yield
    left, service._Current.service = service._Current.service, None
    assert left is None


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The database is there already: a migrated one, of which each worker has a copy."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    name = Path(settings.DATABASES["default"]["TEST"]["NAME"])
    copy_of_migrated(name.parent).joinpath(SQLITE).rename(name)


# What Django itself writes after a migration: types and permissions, the same for every test.
_KEPT_TABLES = {"django_content_type", "auth_permission"}


@pytest.fixture(scope="session", autouse=True)
def _flushes_get_past_the_triggers() -> Iterator[None]:
    """Tests with real transactions are cleaned up by deleting every row, which the triggers refuse.

    They are dropped for that moment and made again. Types and permissions stay: to write them anew,
    as Django does after a flush, took longer than most of these tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        original = DatabaseOperations.sql_flush

        def sql_flush(self: Any, style: Any, tables: list[str], **options: Any) -> list[str]:
            dropped = [f"DROP TRIGGER IF EXISTS {name}" for name in triggers.names()]
            flushed = [table for table in tables if table not in _KEPT_TABLES]
            return [*dropped, *original(self, style, flushed, **options)]

        def after_flush(*_args: Any, **_kwargs: Any) -> None:
            triggers.create_triggers()

        patch.setattr(DatabaseOperations, "sql_flush", sql_flush)
        patch.setattr(flush, "emit_post_migrate_signal", after_flush)
        yield


PASSWORD = "correct horse battery staple"
STRONG = "a strong pass phrase 9"  # one that sign-up takes


def make_user(email: str, name: str) -> User:
    return User.objects.create_user(email, PASSWORD, name=name)


@pytest.fixture
def alice(db: None) -> User:
    return make_user("alice@example.com", "Alice")


@pytest.fixture
def helper(db: None) -> User:
    """Staff, with no permission but those that a test gives."""
    user = make_user("helper@example.com", "Helper")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    return User.objects.get(pk=user.pk)


def permit(user: User, *codenames: str) -> None:
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))


@pytest.fixture
def verified(alice: User) -> User:
    """Alice, who may sign in: her address is confirmed."""
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    return alice


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The clock stands still half an hour after it: no hour, day or month ends during the test.

    In the month after this one, for there are prices that began today.
    """
    next_month = timezone.now().replace(day=28) + timedelta(days=4)
    now = next_month.replace(day=15, hour=12, minute=30, second=0, microsecond=0)
    monkeypatch.setattr(timezone, "now", lambda: now)
    return now


@pytest.fixture
def unlimited() -> Iterator[None]:
    """Limits of signing in and up are counted in the cache: a test finds none and leaves none."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def organisation(alice: User) -> Organisation:
    """Alice's, with exactly ten dollars."""
    organisation = flows.create_organisation(alice, "Acme", welcome=False)
    ledger.grant(
        organisation.id, 10 * NANOS_PER_DOLLAR, reference="grant:cast", description="For tests"
    )
    return organisation


@pytest.fixture
def bob(organisation: Organisation) -> User:
    bob = make_user("bob@example.com", "Bob")
    Membership.objects.create(organisation=organisation, user=bob, role=Role.DEVELOPER)
    return bob


@pytest.fixture
def charlie(db: None) -> User:
    charlie = make_user("charlie@example.com", "Charlie")
    flows.create_organisation(charlie, "Other", welcome=False)
    return charlie


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def confirm_password(client: Client) -> None:
    """As is asked before somebody changes how they sign in; it holds for five minutes."""
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})


@pytest.fixture
def alice_client(alice: User, organisation: Organisation) -> Client:
    return signed_in(alice)


@pytest.fixture
def bob_client(bob: User) -> Client:
    return signed_in(bob)


@pytest.fixture
def charlie_client(charlie: User) -> Client:
    return signed_in(charlie)


@pytest.fixture
def api_key(alice: User, organisation: Organisation) -> tuple[ApiKey, str]:
    """An inference key of Alice's organisation, and its secret."""
    return flows.create_key(organisation, alice, "test")


@pytest.fixture
def manager(organisation: Organisation, alice: User) -> Program:
    """Alice's, with a management key."""
    _key, secret = flows.create_key(organisation, alice, "manages", scope=Scope.MANAGEMENT)
    return Program(secret)


@pytest.fixture
def stranger(charlie: User) -> Program:
    """Charlie's, with a management key of another organisation."""
    other = charlie.memberships.get().organisation
    _key, secret = flows.create_key(other, charlie, "manages", scope=Scope.MANAGEMENT)
    return Program(secret)


@pytest.fixture
def reference_data() -> Callable[[str], Path]:
    """The path of a file of reference data; skips, or fails in CI, when it is absent."""

    def path(name: str) -> Path:
        found = REFERENCE_DATA / name
        if not found.exists():
            missing = f"reference data {name} is not there (set REFERENCE_DATA)"
            pytest.fail(missing) if CI else pytest.skip(missing)
        return found

    return path
