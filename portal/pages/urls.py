"""Addresses of the public pages and of the portal's read-only pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path


def soon(request: HttpRequest, **parts: str) -> HttpResponse:
    return render(request, "base.html")


urlpatterns = [
    path("", soon, name="home"),
    path("models/", soon, name="models"),
    path("models/<path:name>/", soon, name="model"),
    path("docs/", soon, name="docs"),
    path("docs/<slug:slug>/", soon, name="docs_page"),
    path("docs/<slug:slug>.md", soon, name="docs_markdown"),
    path("llms.txt", soon, name="llms_txt"),
    path("status/", soon, name="status"),
    path("portal/", soon, name="overview"),
    path("portal/usage/", soon, name="usage"),
    path("portal/usage.csv", soon, name="usage_csv"),
    path("portal/requests/", soon, name="requests"),
    path("portal/requests/<str:request_id>/", soon, name="request_detail"),
]
