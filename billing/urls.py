"""Addresses of billing."""

from django.urls import path

from billing import views, views_monthly, webhooks

urlpatterns = [
    path("portal/billing/", views.billing, name="billing"),
    path("portal/billing/top-up/", views.top_up, name="billing_top_up"),
    path("portal/billing/alerts/", views.set_alerts, name="billing_alerts"),
    path("portal/billing/alerts/secret/", views.new_alerts_secret, name="billing_alerts_secret"),
    path("portal/billing/cap/", views.set_cap, name="billing_cap"),
    path("portal/billing/statements/", views_monthly.months, name="billing_statements"),
    path(
        "portal/billing/statements/<int:year>-<int:month>/",
        views_monthly.statement,
        name="billing_statement",
    ),
    path(
        "portal/billing/statements/<int:year>-<int:month>.csv",
        views_monthly.statement_csv,
        name="billing_statement_csv",
    ),
    path("portal/billing/ledger.csv", views.ledger_csv, name="billing_ledger_csv"),
    path("webhooks/stripe/", webhooks.stripe_webhook, name="stripe_webhook"),
]
