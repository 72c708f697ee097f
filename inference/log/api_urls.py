"""Addresses of the request log under /api/."""

from django.urls import path

from inference.log import api

urlpatterns = [
    path("requests/", api.RequestsView.as_view(), name="api_requests"),
    path("requests/<slug:request_id>/", api.RequestView.as_view(), name="api_request"),
]
