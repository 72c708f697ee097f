"""Who may see a page: members of an organisation, some pages certain roles only."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts.models import Organisation, Role

MANAGERS = (Role.OWNER, Role.ADMIN)
# Whoever may make a key may do here what a key can: spend the credit, read kept requests.
KEY_MAKERS = (*MANAGERS, Role.DEVELOPER)

# The field that each form of a page has beside its token (`portal.templatetags.frame`), and the
# header by which modules say the same, and answers theirs.
PAGE_OF, PAGE_OF_HEADER = "page_of", "X-Page-Of"


class Refused(PermissionDenied):
    """With a sentence for the page; what another exception says is for the log."""


P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def member_required(*roles: str) -> Callable[[View[P]], View[P]]:
    """Only members, and only those with one of `roles` when any are given (else 403).

    The view tells its `roles`: menus lead nobody where they are refused.

    Views look objects up within `request.organisation`, so another's object is a 404. A form or a
    module of a page of one organisation changes no other, which may have been chosen in another tab
    since; nor does a page take over what is another's (`live-fragment.js`).
    """

    def decorate(view: View[P]) -> View[P]:
        @login_required
        @wraps(view)
        def wrapped(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            membership = request.membership  # type: ignore[attr-defined]
            if not membership:
                return redirect("welcome")
            mine = membership.organisation_id
            if request.headers.get(PAGE_OF_HEADER, request.POST.get(PAGE_OF, mine)) != mine:
                return _of_another_page(request, membership.organisation)
            request.page_of = mine  # type: ignore[attr-defined]
            if roles and membership.role not in roles:
                raise PermissionDenied
            response = view(request, *args, **kwargs)
            response.headers[PAGE_OF_HEADER] = mine
            return response

        wrapped.roles = roles  # type: ignore[attr-defined]
        return cast("View[P]", wrapped)

    return decorate


def _of_another_page(request: HttpRequest, organisation: Organisation) -> HttpResponseBase:
    said = _(
        "You are in %(name)s now; what you sent was for another organisation. Nothing was changed."
    ) % {"name": organisation}
    if PAGE_OF_HEADER in request.headers:
        return JsonResponse({"error": {"message": said}}, status=409)
    messages.error(request, said)
    return redirect("overview")
