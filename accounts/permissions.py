"""Who may see a page: members of an organisation, some pages certain roles only."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts.models import Role

MANAGERS = (Role.OWNER, Role.ADMIN)
# Whoever may make a key may do here what a key can: spend the credit, read kept requests.
KEY_MAKERS = (*MANAGERS, Role.DEVELOPER)

# The field that each form of a page has beside its token (`portal.templatetags.frame`).
PAGE_OF = "page_of"

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def member_required(*roles: str) -> Callable[[View[P]], View[P]]:
    """Only members, and only those with one of `roles` when any are given (else 403).

    The view tells its `roles`: menus lead nobody where they are refused.

    Views look objects up within `request.organisation`, so another's object is a 404. A form of a
    page of one organisation changes no other, which may have been chosen in another tab since; nor
    does a page take over what is another's (`live-fragment.js`).
    """

    def decorate(view: View[P]) -> View[P]:
        @login_required
        @wraps(view)
        def wrapped(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            membership = request.membership  # type: ignore[attr-defined]
            if not membership:
                return redirect("welcome")
            if request.POST.get(PAGE_OF, membership.organisation_id) != membership.organisation_id:
                said = _(
                    "You work in %(name)s now; what you sent was of another organisation. "
                    "Nothing was changed."
                )
                messages.error(request, said % {"name": membership.organisation})
                return redirect("overview")
            request.page_of = membership.organisation_id  # type: ignore[attr-defined]
            if roles and membership.role not in roles:
                raise PermissionDenied
            response = view(request, *args, **kwargs)
            response.headers["X-Page-Of"] = membership.organisation_id
            return response

        wrapped.roles = roles  # type: ignore[attr-defined]
        return cast("View[P]", wrapped)

    return decorate
