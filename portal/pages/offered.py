"""Which models a page speaks of: what its reader could call."""

from django.http import HttpRequest

from inference import catalog
from inference.catalog import CatalogEntry


def offered_to(request: HttpRequest) -> list[CatalogEntry]:
    """What everybody is offered, and what the reader's organisation is offered beside it."""
    organisation = getattr(request, "organisation", None)
    return catalog.models_offered_to(organisation.id if organisation else None)
