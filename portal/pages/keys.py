"""The keys page: make, limit, rotate, revoke; what each key has spent against its cap.

A secret is shown once, in the answer to the POST that made it: it is written to no session, no
message and no cache on its way.
"""

from typing import cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import flows
from accounts.models import ApiKey, Scope, User
from accounts.permissions import KEY_MAKERS, MANAGERS, member_required
from billing import spending
from portal.lib.posts import posted_from
from portal.pages.key_forms import KeyForm, KeyLimitsForm
from portal.pages.offered import offered_to


@member_required()
@require_GET
def keys(request: HttpRequest) -> HttpResponseBase:
    return keys_page(request)


def keys_page(request: HttpRequest, new: dict[str, object] | None = None) -> HttpResponse:
    """The list, above it the secret of a key that was just made."""
    organisation = request.organisation  # type: ignore[attr-defined]
    rows = list(organisation.api_keys.select_related("created_by").order_by("-created_at"))
    spent = spending.spent_by_keys(key.pk for key in rows)
    for key in rows:
        key.spent_nanos = spent.get(key.pk, 0)
        key.status = status_of(key)
        key.may_change = may_change(request, key)
    context = {"keys": rows, "new": new, "may_make": role_of(request) in KEY_MAKERS}
    return render(request, "pages/keys.html", context)


@member_required(*KEY_MAKERS)
@never_cache
@require_http_methods(["GET", "POST"])
def key_create(request: HttpRequest) -> HttpResponseBase:
    posted = request.POST if request.method == "POST" else None
    form = KeyForm(posted, scopes=scopes_for(request), offered=offered_to(request))
    if form.is_valid():
        organisation = request.organisation  # type: ignore[attr-defined]
        try:
            key, secret = flows.create_key(
                organisation, cast("User", request.user), **form.key_fields()
            )
        except ValueError as error:  # its page was loaded again
            messages.warning(request, str(error))
            return redirect("keys")
        return keys_page(request, {"name": key.name, "secret": secret})
    status = 400 if form.is_bound else 200
    return render(request, "pages/key_create.html", {"form": form}, status=status)


@member_required(*KEY_MAKERS)
@require_http_methods(["GET", "POST"])
def key_limits(request: HttpRequest, key_id: str) -> HttpResponseBase:
    key = own_key(request, key_id)
    now = {
        "monthly_cap": key.monthly_cap_nanos,
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
    }
    form = KeyLimitsForm(request.POST if request.method == "POST" else None, initial=now)
    if not form.is_valid():
        context = {"form": form, "key": key}
        return render(
            request, "pages/key_limits.html", context, status=400 if form.is_bound else 200
        )
    try:
        flows.change_key(key, **form.key_fields())
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request, _("The limits of “%(name)s” have been changed.") % {"name": key.name}
        )
    return redirect("keys")


@member_required(*KEY_MAKERS)
@require_POST
def key_revoke(request: HttpRequest, key_id: str) -> HttpResponseBase:
    key = own_key(request, key_id)
    if flows.revoke_key(key):
        messages.success(request, _("“%(name)s” has been revoked.") % {"name": key.name})
    else:
        messages.info(request, _("“%(name)s” was already revoked.") % {"name": key.name})
    return redirect("keys")


@member_required(*KEY_MAKERS)
@never_cache
@posted_from("keys")
def key_rotate(request: HttpRequest, key_id: str) -> HttpResponseBase:
    key = own_key(request, key_id)
    try:
        successor, secret = flows.rotate_key(key, cast("User", request.user))
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("keys")
    return keys_page(request, {"name": successor.name, "secret": secret, "rotated": True})


def own_key(request: HttpRequest, key_id: str) -> ApiKey:
    """A key that this person may revoke and rotate; another organisation's is not found."""
    key = get_object_or_404(
        ApiKey,
        pk=key_id,
        organisation=request.organisation,  # type: ignore[attr-defined]
    )
    if not may_change(request, key):
        raise PermissionDenied
    return key


def may_change(request: HttpRequest, key: ApiKey) -> bool:
    """A management key acts as an admin does, so only those who are one may hold it."""
    return role_of(request) in (MANAGERS if key.scope == Scope.MANAGEMENT else KEY_MAKERS)


def scopes_for(request: HttpRequest) -> list[Scope]:
    return list(Scope) if role_of(request) in MANAGERS else [Scope.INFERENCE]


def role_of(request: HttpRequest) -> str:
    return str(request.membership.role)  # type: ignore[attr-defined]


def status_of(key: ApiKey) -> str:
    """`active`, `ending` (rotated, its successor is there), `revoked` or `expired`."""
    now = timezone.now()
    if key.revoked_at is not None:
        return "revoked" if key.revoked_at <= now else "ending"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "active"
