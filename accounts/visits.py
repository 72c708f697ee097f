"""An operator's visit to an organisation: its portal as its billing role sees it, to read alone.

The operator stays who they are, so that the audit log names them and nobody's password, sessions or
kept requests are within reach. While a visit lasts, nothing that they send changes anything: every
unsafe method is refused but those that end it. It ends after half an hour, with the session, and
with the right to visit.
"""

import time
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from accounts import audit
from accounts.models import Membership, Organisation, Role, User

LASTS_S = 30 * 60
PERMISSION = "accounts.change_organisation"
ROLE = Role.BILLING  # reads money and members, but neither bodies nor the playground
_KEY = "operator_visit"
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
_ENDINGS = ("visit_end", "account_logout", "set_language")


@dataclass(frozen=True, slots=True)
class Visit:
    organisation: Organisation
    ends_at: float  # seconds since 1970

    @property
    def minutes_left(self) -> int:
        return max(1, round((self.ends_at - time.time()) / 60))

    def membership(self, user: User) -> Membership:
        """What stands for the operator's membership; there is no such row."""
        return Membership(organisation=self.organisation, user=user, role=ROLE)


def may_visit(request: HttpRequest) -> bool:
    return request.user.is_authenticated and request.user.is_staff and (
        request.user.has_perm(PERMISSION)
    )  # fmt: skip


def begin(request: HttpRequest, organisation: Organisation, reason: str) -> None:
    """The caller has seen that the operator may; the organisation's audit log keeps the reason."""
    request.session[_KEY] = {"organisation": organisation.pk, "ends_at": time.time() + LASTS_S}
    audit.note(organisation, {"operator_visit": ("", reason)})


def current(request: HttpRequest) -> Visit | None:
    """The visit of this session; None when there is none, or it is over."""
    kept = request.session.get(_KEY)
    if not kept or kept["ends_at"] <= time.time() or not may_visit(request):
        return None
    organisation = Organisation.objects.filter(pk=kept["organisation"]).first()
    return Visit(organisation, kept["ends_at"]) if organisation else None


def end(request: HttpRequest) -> None:
    visit = current(request)
    if visit is not None:
        audit.note(visit.organisation, {"operator_visit": ("open", "ended")})
    request.session.pop(_KEY, None)


def forbids(request: HttpRequest) -> bool:
    """Whether this request would change something, in a visit."""
    if request.method in _SAFE or _KEY not in request.session:
        return False
    return request.path not in map(reverse, _ENDINGS) and current(request) is not None
