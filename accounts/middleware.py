"""Which organisation a signed-in person works in, the way out to who signs people in for us, and
whose address the audit log keeps.

`request.organisation` and `request.membership` are lazy, since most requests need neither. The
choice is kept in the session; a choice that is no longer a membership counts for nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from auditlog.middleware import AuditlogMiddleware
from csp.decorators import csp_replace
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.functional import SimpleLazyObject

from accounts import visits
from accounts.models import Membership, Organisation

SESSION_KEY = "organisation_id"
SOCIAL_PROVIDERS = "allauth.socialaccount.providers."


class AuditMiddleware(AuditlogMiddleware):  # type: ignore[misc]
    """Keeps the client's own address, as `portal.forwarded` found it.

    The library takes what headers say that anybody may write: a false address, or a word that is
    none, which PostgreSQL refuses together with what was to be recorded.
    """

    @staticmethod
    def _get_remote_addr(request: HttpRequest) -> str | None:
        return request.META.get("REMOTE_ADDR") or None

    @staticmethod
    def _get_remote_port(request: HttpRequest) -> int | None:
        return None


class OrganisationMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.membership = SimpleLazyObject(lambda: membership_of(request))  # type: ignore[attr-defined]
        request.organisation = SimpleLazyObject(lambda: organisation_of(request))  # type: ignore[attr-defined]
        request.visit = SimpleLazyObject(lambda: visits.current(request))  # type: ignore[attr-defined]
        if visits.forbids(request):
            return render(request, "accounts/visit_refused.html", status=403)
        return self.get_response(request)


def membership_of(request: HttpRequest) -> Membership | None:
    if not request.user.is_authenticated:
        return None
    if request.visit:  # type: ignore[attr-defined]
        return request.visit.membership(request.user)  # type: ignore[attr-defined, no-any-return]
    return chosen_membership(request.user.pk, request.session)


def chosen_membership(user_id: int, session: SessionBase | Mapping[str, Any]) -> Membership | None:
    """The one that the session names; else the user's first, if any."""
    memberships = Membership.objects.filter(user_id=user_id).select_related("organisation")
    chosen = memberships.filter(organisation_id=session.get(SESSION_KEY)).first()
    return chosen or memberships.order_by("pk").first()


def organisation_of(request: HttpRequest) -> Organisation | None:
    membership = request.membership  # type: ignore[attr-defined]
    # A lazy object that holds None is false without being None.
    return membership.organisation if membership else None


def social_sign_in_may_leave(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Let the form that begins a social sign-in be answered with the provider's address.

    Browsers count a redirect as the form's own address, and the provider's may be anywhere: with
    OpenID Connect it stands in a row of the console. That page has no other form.
    """

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        match = request.resolver_match
        if match is not None and match.func.__module__.startswith(SOCIAL_PROVIDERS):
            return csp_replace({"form-action": ["*"]})(lambda _request: response)(request)
        return response

    return respond
