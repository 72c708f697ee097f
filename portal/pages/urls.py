"""Addresses of the public pages, and of the portal's that show several apps at once."""

from django.urls import path

from portal.pages import (
    docs,
    keys,
    limits,
    live_sample,
    overview,
    public,
    reopened,
    requests,
    status,
    usage,
    welcome,
)

urlpatterns = [
    path("", public.home, name="home"),
    path("sample/", live_sample.live_sample, name="live_sample"),
    path("models/", public.models, name="models"),
    path("models/<path:name>/", public.model, name="model"),
    path("docs/", docs.docs, name="docs"),
    path("docs/<slug:slug>/", docs.docs_page, name="docs_page"),
    path("docs/<slug:slug>.md", docs.docs_markdown, name="docs_markdown"),
    path("llms.txt", docs.llms_txt, name="llms_txt"),
    path("robots.txt", public.robots, name="robots_txt"),
    path("favicon.ico", public.favicon, name="favicon"),
    path("status/", status.status, name="status"),
    path("portal/", overview.overview, name="overview"),
    path("welcome/", welcome.welcome, name="welcome"),
    path("welcome/first-call/", welcome.first_call, name="first_call"),
    path("portal/keys/", keys.keys, name="keys"),
    path("portal/keys/new/", keys.key_create, name="key_create"),
    path("portal/keys/<uuid:key_id>/limits/", keys.key_limits, name="key_limits"),
    path("portal/keys/<uuid:key_id>/revoke/", keys.key_revoke, name="key_revoke"),
    path("portal/keys/<uuid:key_id>/rotate/", keys.key_rotate, name="key_rotate"),
    path("portal/limits/", limits.limits, name="limits"),
    path("portal/usage/", usage.usage, name="usage"),
    path("portal/usage.csv", usage.usage_csv, name="usage_csv"),
    path("portal/requests/", requests.requests, name="requests"),
    path("portal/requests/<slug:request_id>/", requests.request_detail, name="request_detail"),
    path(
        "portal/requests/<slug:request_id>/playground/",
        reopened.request_reopen,
        name="request_reopen",
    ),
]
