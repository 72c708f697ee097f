"""The keys page: make, rotate, revoke; what each key has spent against its cap.

A secret is shown once: it travels from the POST to the next page in the session, and is taken out
of it when that page is rendered.
"""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import flows
from accounts.models import ApiKey, Role
from accounts.permissions import member_required
from billing.models import KeySpend
from portal.pages.key_forms import KeyForm

MAKERS = (Role.OWNER, Role.ADMIN, Role.DEVELOPER)
SHOW_ONCE = "new_key_secret"


@member_required()
@require_GET
def keys(request: HttpRequest) -> HttpResponseBase:
    organisation = request.organisation  # type: ignore[attr-defined]
    rows = list(organisation.api_keys.select_related("created_by").order_by("-created_at"))
    spent = spent_this_month([key.pk for key in rows])
    for key in rows:
        key.spent_nanos = spent.get(key.pk, 0)
        key.status = status_of(key)
    return render(
        request,
        "pages/keys.html",
        {
            "keys": rows,
            "new": request.session.pop(SHOW_ONCE, None),
            "may_make": request.membership.role in MAKERS,  # type: ignore[attr-defined]
        },
    )


@member_required(*MAKERS)
@require_http_methods(["GET", "POST"])
def key_create(request: HttpRequest) -> HttpResponseBase:
    form = KeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        key, secret = flows.create_key(
            request.organisation,  # type: ignore[attr-defined]
            request.user,  # type: ignore[arg-type]
            **form.key_fields(),
        )
        request.session[SHOW_ONCE] = {"name": key.name, "secret": secret}
        return redirect("keys")
    status = 400 if form.is_bound else 200
    return render(request, "pages/key_create.html", {"form": form}, status=status)


@member_required(*MAKERS)
@require_POST
def key_revoke(request: HttpRequest, key_id: str) -> HttpResponseBase:
    key = own_key(request, key_id)
    if flows.revoke_key(key):
        messages.success(request, _("“%(name)s” is revoked.") % {"name": key.name})
    else:
        messages.info(request, _("“%(name)s” was revoked before.") % {"name": key.name})
    return redirect("keys")


@member_required(*MAKERS)
@require_POST
def key_rotate(request: HttpRequest, key_id: str) -> HttpResponseBase:
    key = own_key(request, key_id)
    try:
        successor, secret = flows.rotate_key(key, request.user)  # type: ignore[arg-type]
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("keys")
    request.session[SHOW_ONCE] = {"name": successor.name, "secret": secret, "rotated": True}
    return redirect("keys")


def own_key(request: HttpRequest, key_id: str) -> ApiKey:
    return get_object_or_404(
        ApiKey,
        pk=key_id,
        organisation=request.organisation,  # type: ignore[attr-defined]
    )


def status_of(key: ApiKey) -> str:
    """`active`, `ending` (rotated, its successor is there), `revoked` or `expired`."""
    now = timezone.now()
    if key.revoked_at is not None:
        return "revoked" if key.revoked_at <= now else "ending"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "active"


def spent_this_month(key_ids: list[Any]) -> dict[Any, int]:
    """Nanos posted in this calendar month (UTC), by key."""
    month = timezone.now().date().replace(day=1)
    rows = KeySpend.objects.filter(api_key_id__in=key_ids, month=month)
    return dict(rows.values_list("api_key_id", "posted_nanos"))
