"""The page after signing up: a first key, a curl that works now, and word of the first call."""

import json
import shlex
from typing import cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts import flows
from accounts.models import ApiKey, User
from accounts.permissions import KEY_MAKERS, member_required
from billing.models import UsageRecord
from billing.topups import new_form_token
from portal.pages.keys import role_of
from portal.pages.samples import default_model

PROMPT = "Write a short story about a curious robot exploring a new planet."


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def welcome(request: HttpRequest) -> HttpResponseBase:
    """POST makes the first key and shows it; GET invites to. Makes an organisation if need be.

    Who has a key already is not welcomed again: there is nothing here for them.
    """
    flows.ensure_organisation(cast("User", request.user))
    return welcome_to(request)


@member_required()
def welcome_to(request: HttpRequest) -> HttpResponseBase:
    """The page of the organisation in which they work."""
    if request.method == "GET" and has_key(request.organisation.pk):  # type: ignore[attr-defined]
        return redirect("overview")
    may_make = role_of(request) in KEY_MAKERS
    secret = None
    if request.method == "POST":
        if not may_make:
            raise PermissionDenied
        organisation = request.organisation  # type: ignore[attr-defined]
        token = request.POST.get("form_token", "")
        try:
            _key, secret = flows.create_key(
                organisation, cast("User", request.user), _("First key"), form_token=token
            )
        except ValueError as error:  # its page was loaded again
            messages.warning(request, str(error))
            return redirect("keys")
    context = {
        "secret": secret,
        "curl": first_curl(secret) if secret else "",
        "may_make": may_make,
        "form_token": new_form_token(),
    }
    return render(request, "pages/welcome.html", context)


def first_curl(secret: str) -> str:
    """A command that works as it is printed, in any shell."""
    body = json.dumps({"model": default_model(), "prompt": PROMPT, "max_tokens": 500}, indent=2)
    return (
        f"curl {settings.BASE_URL}/v1/completions \\\n"
        f'  -H "Authorization: Bearer {secret}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(body)}"
    )


@member_required()
@require_GET
def first_call(request: HttpRequest) -> HttpResponseBase:
    """Whether the organisation's first call through the API has arrived; asked every second."""
    return JsonResponse({"arrived": has_called(request.organisation.pk)})  # type: ignore[attr-defined]


def has_key(organisation_id: str) -> bool:
    return ApiKey.objects.filter(organisation_id=organisation_id).exists()


def has_called(organisation_id: str) -> bool:
    return UsageRecord.objects.filter(organisation_id=organisation_id, face="api").exists()
