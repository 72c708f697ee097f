"""What the pages of the operator's console for money have in common."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

P = ParamSpec("P")
Admin = TypeVar("Admin", bound=admin.ModelAdmin[Any])
Page = Callable[Concatenate[Admin, HttpRequest, P], HttpResponse]


def needs(permission: str) -> Callable[[Page[Admin, P]], Page[Admin, P]]:
    """For a page of our own: the console itself lets in everybody who is staff."""

    def decorate(page: Page[Admin, P]) -> Page[Admin, P]:
        @wraps(page)
        def checked(
            self: Admin, request: HttpRequest, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponse:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return page(self, request, *args, **kwargs)

        return cast("Page[Admin, P]", checked)

    return decorate


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows that only their own code writes: to be looked at, never edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
