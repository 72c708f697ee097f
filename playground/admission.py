"""Who stands behind a socket: a member with a session, or a program with a key.

Credentials are kept by the socket and checked again before every generation, since a socket may
outlive them. All of this reads the database; call it through `portal.lib.db`.
"""

from dataclasses import dataclass

from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.authentication import (
    Caller,
    KeyRefused,
    authenticate_key,
    caller_for_member,
    opened_by,
)
from accounts.middleware import chosen_membership
from accounts.models import Membership, Scope
from accounts.permissions import KEY_MAKERS
from inference.errors import ServiceError

NOT_A_MEMBER = "not_a_member"
SPENDERS = KEY_MAKERS  # of the organisation's credit, which a key spends as well


@dataclass(frozen=True, slots=True)
class MemberCredentials:
    """A signed-in person, in the organisation that they worked in when the socket opened."""

    user_id: int
    session_key: str
    organisation_id: str


@dataclass(frozen=True, slots=True)
class KeyCredentials:
    secret: str
    remote_ip: str

    def __repr__(self) -> str:
        return "KeyCredentials(…)"  # the secret belongs into no log


Credentials = MemberCredentials | KeyCredentials


def member_credentials(
    user_id: int, session_key: str, session: dict[str, object]
) -> MemberCredentials:
    """Raises ServiceError (403) for somebody without an organisation."""
    membership = chosen_membership(user_id, session)
    if membership is None:
        message = _("You are not a member of any organisation.")
        raise ServiceError(403, "invalid_request_error", "no_organisation", message)
    return MemberCredentials(user_id, session_key, membership.organisation_id)


def admit(credentials: Credentials) -> Caller:
    """The caller that the credentials stand for now. Raises ServiceError (401, 403)."""
    if isinstance(credentials, KeyCredentials):
        try:
            return authenticate_key(credentials.secret, credentials.remote_ip, Scope.INFERENCE)
        except KeyRefused as refusal:
            raise ServiceError(
                refusal.status, "invalid_request_error", refusal.code, refusal.message
            ) from None
    session = Session.objects.filter(
        session_key=credentials.session_key, expire_date__gt=timezone.now()
    ).first()
    if session is None:
        raise session_ended()
    membership = (
        Membership.objects.filter(
            user_id=credentials.user_id, organisation_id=credentials.organisation_id
        )
        .select_related("user", "organisation")
        .first()
    )
    if membership is None:
        message = _("You are no longer a member of this organisation.")
        raise ServiceError(403, "invalid_request_error", NOT_A_MEMBER, message)
    if not membership.user.is_active or not opened_by(session, membership.user):
        raise session_ended()
    if membership.role not in SPENDERS:
        message = _("Your role in this organisation does not allow spending its credit.")
        raise ServiceError(403, "invalid_request_error", "wrong_role", message)
    if membership.organisation.suspended_at is not None:
        message = _("This organisation is suspended.")
        raise ServiceError(403, "invalid_request_error", "organisation_suspended", message)
    return caller_for_member(membership.user, membership.organisation, credentials.session_key)


def session_ended() -> ServiceError:
    message = _("You are no longer signed in.")
    return ServiceError(401, "invalid_request_error", "session_ended", message)
