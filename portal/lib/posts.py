"""Addresses that take a page's form and may answer with that page: a refusal, a secret shown once.

Such an address stands in the browser's bar then. Whoever reads it (by a reload of the bar, on the
way back from signing in or from another language) is led to the page.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def posted_from(page: str) -> Callable[[View[P]], View[P]]:
    """Only a POST reaches the view; a GET leads to the page of the name `page`."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def wrapped(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if request.method in {"GET", "HEAD"}:
                return redirect(page)
            if request.method != "POST":
                return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
            return view(request, *args, **kwargs)

        return cast("View[P]", wrapped)

    return decorate
