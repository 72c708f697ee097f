"""What the console's pages for people have in common: who may touch whom, and what stays hidden."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.models import User


def is_superuser(request: HttpRequest) -> bool:
    return request.user.is_authenticated and request.user.is_superuser


def may_touch(person: User | None, request: HttpRequest) -> bool:
    """Whether it is nobody of the operators, or a superuser asks."""
    customer = person is None or not (person.is_staff or person.is_superuser)
    return customer or is_superuser(request)


class DiscreetAdmin(admin.ModelAdmin[Any]):
    """A list that its address narrows by what its filters show, and by no other column.

    Django takes any: `?session_key__startswith=a` would tell a letter of what no page shows.
    """

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        shown = [self.date_hierarchy, *self.get_list_filter(request)]
        columns = {each[0] if isinstance(each, tuple) else each for each in shown}
        return lookup.partition("__")[0] in columns and super().lookup_allowed(
            lookup, value, request
        )
