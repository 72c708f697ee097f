"""The page after signing up: a first key, a curl that works now, and word of the first call."""

import json
import shlex

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts import flows
from accounts.models import User
from accounts.permissions import member_required
from billing.models import UsageRecord
from portal.pages.keys import MAKERS
from portal.pages.samples import default_model

PROMPT = "Write a short story about a curious robot exploring a new planet."


@require_http_methods(["GET", "POST"])
def welcome(request: HttpRequest) -> HttpResponseBase:
    """POST makes the first key and shows it; GET invites to. Makes an organisation if need be."""
    if not isinstance(request.user, User):
        return redirect("account_login")
    organisation = flows.ensure_organisation(request.user)
    membership = request.user.memberships.get(organisation=organisation)
    secret = None
    if request.method == "POST" and membership.role in MAKERS:
        _key, secret = flows.create_key(organisation, request.user, "First key")
    return render(
        request,
        "pages/welcome.html",
        {
            "secret": secret,
            "curl": first_curl(secret) if secret else "",
        },
    )


def first_curl(secret: str) -> str:
    """A command that works as it is printed, in any shell."""
    body = json.dumps({"model": default_model(), "prompt": PROMPT, "max_tokens": 300})
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


def has_called(organisation_id: str) -> bool:
    return UsageRecord.objects.filter(organisation_id=organisation_id, face="api").exists()
