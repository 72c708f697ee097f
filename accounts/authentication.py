"""Who is calling: API keys and sessions become a `Caller`.

A key is checked offline, then looked up by its hash in one indexed read. A hit is kept for at most
`API_KEY_CACHE_S`, so a revoked key is refused at once elsewhere and after two seconds here.
"""

import ipaddress
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from accounts import audit, keys
from accounts.models import ApiKey, Membership, Organisation, Scope, User
from accounts.permissions import KEY_MAKERS

TOUCH_EVERY = timedelta(minutes=1)
CACHED_KEYS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a request runs. Exactly one of `api_key_id` and `session_key` is set."""

    organisation_id: str
    multiplier_bp: int
    api_key_id: UUID | None
    user_id: int | None
    session_key: str | None
    scope: str
    allowed_models: tuple[str, ...] = ()
    monthly_cap_nanos: int | None = None
    keeps_bodies: bool = False
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    first_key_id: UUID | None = None

    @property
    def counts_as(self) -> UUID | None:
        """The key whose limits and cap this one shares: the first that it succeeds by rotation."""
        return self.first_key_id or self.api_key_id


class KeyRefused(Exception):  # noqa: N818  the word of the contract
    """Why a key was refused: `code` for programs, `message` for people, `status` 401 or 403."""

    def __init__(self, code: str, message: str, status: int = 401) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class _KnownKey:
    caller: Caller
    ip_ranges: tuple[str, ...]
    expires_at: datetime | None
    revoked_at: datetime | None
    suspended_at: datetime | None
    read_at: float


class _KeyCache:
    """Rows of keys by hash, each for at most API_KEY_CACHE_S."""

    def __init__(self) -> None:
        self._known: dict[bytes, _KnownKey] = {}
        self._lock = threading.Lock()

    def get(self, key_hash: bytes) -> _KnownKey | None:
        known = self._known.get(key_hash)
        fresh = known and time.monotonic() - known.read_at < settings.API_KEY_CACHE_S
        return known if fresh else None

    def put(self, key_hash: bytes, known: _KnownKey) -> None:
        with self._lock:
            if len(self._known) >= CACHED_KEYS_MAX:
                self._known.clear()
            self._known[key_hash] = known

    def clear(self) -> None:
        with self._lock:
            self._known.clear()


key_cache = _KeyCache()


def authenticate_key(secret: str, remote_ip: str, scope: str) -> Caller:
    """The caller that a key stands for. Raises KeyRefused."""
    key_hash = keys.digest(secret)
    if key_hash is None:
        raise KeyRefused("invalid_api_key", _why_not_a_key(secret))
    known = key_cache.get(key_hash)
    if known is None:
        known = _read_key(key_hash)
        key_cache.put(key_hash, known)
    _check(known, remote_ip, scope)
    return known.caller


def _why_not_a_key(secret: str) -> str:
    """A key of another service, left in the environment, is no typo."""
    if not secret.startswith(keys.PREFIX):
        return f"This is not a key of this site: they begin with '{keys.PREFIX}'."
    return "The API key is malformed; check for a typo."


def _read_key(key_hash: bytes) -> _KnownKey:
    row = ApiKey.objects.select_related("organisation").filter(key_hash=key_hash).first()
    if row is None:
        raise KeyRefused("invalid_api_key", "There is no such API key.")
    _touch(row)
    return _KnownKey(
        caller=Caller(
            organisation_id=row.organisation_id,
            multiplier_bp=row.organisation.multiplier_bp,
            api_key_id=row.id,
            user_id=row.created_by_id,
            session_key=None,
            scope=row.scope,
            allowed_models=tuple(row.allowed_models),
            monthly_cap_nanos=row.monthly_cap_nanos,
            keeps_bodies=row.organisation.keeps_bodies,
            requests_per_minute=row.requests_per_minute,
            tokens_per_minute=row.tokens_per_minute,
            first_key_id=row.first_key_id,
        ),
        ip_ranges=tuple(row.ip_ranges),
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        suspended_at=row.organisation.suspended_at,
        read_at=time.monotonic(),
    )


def _touch(row: ApiKey) -> None:
    """Note the use, at most once a minute, so that reads stay reads."""
    now = timezone.now()
    if row.last_used_at is None or row.last_used_at < now - TOUCH_EVERY:
        ApiKey.objects.filter(pk=row.pk).update(last_used_at=now)


def _check(known: _KnownKey, remote_ip: str, scope: str) -> None:
    now = timezone.now()
    if known.revoked_at is not None and known.revoked_at <= now:
        raise KeyRefused("key_revoked", "This API key was revoked.")
    if known.expires_at is not None and known.expires_at <= now:
        raise KeyRefused("key_expired", "This API key has expired.")
    if known.suspended_at is not None:
        raise KeyRefused("organisation_suspended", "This organisation is suspended.", 403)
    if known.caller.scope != scope:
        raise KeyRefused(
            "wrong_scope",
            f"This key has the scope '{known.caller.scope}'; this address needs '{scope}'.",
            403,
        )
    if known.ip_ranges and not _within(remote_ip, known.ip_ranges):
        raise KeyRefused("ip_not_allowed", "This key may not be used from your address.", 403)


def _within(remote_ip: str, ranges: Iterable[str]) -> bool:
    try:
        address = ipaddress.ip_address(remote_ip)
    except ValueError:
        return False
    # A server that listens on IPv6 sees 10.0.0.1 as ::ffff:10.0.0.1.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ipaddress.ip_network(each, strict=False) for each in ranges)


def caller_for_member(user: User, organisation: Organisation, session_key: str) -> Caller:
    """The caller behind a signed-in member; the view or socket has checked the membership."""
    return Caller(
        organisation_id=organisation.id,
        multiplier_bp=organisation.multiplier_bp,
        api_key_id=None,
        user_id=user.pk,
        session_key=session_key,
        scope=Scope.INFERENCE,
    )


def no_longer_valid(callers: Iterable[Caller]) -> set[Caller]:
    """Those whose key was revoked or expired, whose session or membership ended, whose role spends
    no more, whose password was changed elsewhere, or whose organisation was suspended.

    Four queries at most, however many callers.
    """
    now = timezone.now()
    asked = set(callers)
    key_ids = {caller.api_key_id for caller in asked if caller.api_key_id is not None}
    organisations = {caller.organisation_id for caller in asked}
    live_keys = set(
        ApiKey.objects.filter(pk__in=key_ids)
        .filter(Q(revoked_at=None) | Q(revoked_at__gt=now))
        .filter(Q(expires_at=None) | Q(expires_at__gt=now))
        .values_list("pk", flat=True)
    )
    live_members = _live_members(caller for caller in asked if caller.session_key is not None)
    live_organisations = set(
        Organisation.objects.filter(pk__in=organisations, suspended_at=None).values_list(
            "pk", flat=True
        )
    )
    return {
        caller
        for caller in asked
        if caller.organisation_id not in live_organisations
        or (caller.api_key_id is not None and caller.api_key_id not in live_keys)
        or (
            caller.session_key is not None
            and (caller.organisation_id, caller.user_id, caller.session_key) not in live_members
        )
    }


def _live_members(callers: Iterable[Caller]) -> set[tuple[str, int, str]]:
    """(organisation, user, session) of the people among whom all three still belong together."""
    people = list(callers)
    sessions = Session.objects.filter(
        session_key__in={caller.session_key for caller in people}, expire_date__gt=timezone.now()
    ).in_bulk()
    user_ids = {caller.user_id for caller in people if caller.user_id is not None}
    memberships = Membership.objects.filter(
        user_id__in=user_ids, user__is_active=True, role__in=KEY_MAKERS
    )
    users = {
        (membership.organisation_id, membership.user_id): membership.user
        for membership in memberships.select_related("user")
    }
    return {
        (caller.organisation_id, user.pk, session.session_key)
        for caller in people
        if (user := users.get((caller.organisation_id, caller.user_id or 0)))
        and (session := sessions.get(caller.session_key or ""))
        and opened_by(session, user)
    }


def opened_by(session: Session, user: User) -> bool:
    """Whether the session is the user's, and no older than their password.

    Django ends the others when a browser comes back with one; a socket or a stream does not come
    back.
    """
    content = session.get_decoded()
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return content.get(auth.SESSION_KEY) == str(user.pk) and any(
        constant_time_compare(content.get(auth.HASH_SESSION_KEY, ""), each) for each in hashes
    )


class ManagementKeyAuthentication(BaseAuthentication):
    """DRF: `Authorization: Bearer` with a key of the management scope."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        kind, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if kind.lower() != "bearer":
            return None
        try:
            caller = authenticate_key(
                secret.strip(), request.META.get("REMOTE_ADDR", ""), Scope.MANAGEMENT
            )
        except KeyRefused as refusal:
            if refusal.status == 403:
                raise exceptions.PermissionDenied(refusal.message, refusal.code) from None
            raise exceptions.AuthenticationFailed(refusal.message, refusal.code) from None
        assert caller.api_key_id is not None
        audit.done_with(caller.api_key_id)
        return KeyUser(caller), caller

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


@dataclass(frozen=True)
class KeyUser:
    """What DRF calls a user: the organisation behind a key, not a person."""

    caller: Caller
    is_authenticated: bool = True

    @property
    def pk(self) -> str:
        return str(self.caller.api_key_id)
