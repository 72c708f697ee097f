"""Addresses of billing."""

from django.urls import path

from billing import views, webhooks

urlpatterns = [
    path("portal/billing/", views.billing, name="billing"),
    path("portal/billing/top-up/", views.top_up, name="billing_top_up"),
    path("portal/billing/alerts/", views.set_alerts, name="billing_alerts"),
    path("portal/billing/alerts/secret/", views.new_alerts_secret, name="billing_alerts_secret"),
    path("portal/billing/cap/", views.set_cap, name="billing_cap"),
    path("portal/billing/ledger.csv", views.ledger_csv, name="billing_ledger_csv"),
    path("webhooks/stripe/", webhooks.stripe_webhook, name="stripe_webhook"),
]
