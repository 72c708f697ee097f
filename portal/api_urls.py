"""The management API under /api/, and the description of all of the REST API."""

from django.urls import include, path

from portal import openapi

urlpatterns = [
    path("", include("accounts.api_urls")),
    path("", include("billing.api_urls")),
    path("", include("inference.log.api_urls")),
    path("schema/", openapi.schema, name="api_schema"),
    path("reference/", openapi.reference, name="api_reference"),
]
