"""What stands in an address is looked for in the database, and PostgreSQL takes no NUL in a text.

It would be a 500 there, and nothing on SQLite. A slug, a number or a UUID holds none.
"""

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver
from django.urls.converters import IntConverter, SlugConverter, UUIDConverter
from django.urls.resolvers import RoutePattern

from portal.urls import urlpatterns

HOLD_NO_NUL = (IntConverter, SlugConverter, UUIDConverter)
# Their texts are looked for as a hash, or in the catalogue in memory.
ASK_NO_DATABASE = {"invitation", "operator_link", "model"}
LIBRARIES = {"accounts/", "operator/"}


def routes(patterns: list[Any]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern
        elif isinstance(pattern, URLResolver) and str(pattern.pattern) not in LIBRARIES:
            yield from routes(pattern.url_patterns)


def test_no_address_lets_a_nul_into_a_query() -> None:
    found = list(routes(urlpatterns))
    assert len(found) > 60
    bad = {
        (each.name, name)
        for each in found
        if isinstance(each.pattern, RoutePattern) and each.name not in ASK_NO_DATABASE
        for name, converter in each.pattern.converters.items()
        if not isinstance(converter, HOLD_NO_NUL)
    }
    assert bad == set()
