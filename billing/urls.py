"""Addresses of billing."""

from django.urls import path

from billing import (
    views,
    views_cards,
    views_closing,
    views_monthly,
    views_plans,
    webhooks,
)

urlpatterns = [
    path("portal/billing/", views.billing, name="billing"),
    path("portal/billing/top-up/", views.top_up, name="billing_top_up"),
    path("portal/billing/auto-top-up/", views_cards.auto_top_up, name="billing_auto_top_up"),
    path("portal/billing/card/", views_cards.save_card, name="billing_save_card"),
    path("portal/billing/receipt/<slug:top_up_id>/", views_cards.receipt, name="billing_receipt"),
    path("portal/billing/refund/<slug:top_up_id>/", views.refund, name="billing_refund"),
    path("portal/billing/plans/<int:plan_id>/", views_plans.subscribe, name="billing_subscribe"),
    path(
        "portal/billing/subscriptions/<slug:subscription_id>/",
        views_plans.end_subscription,
        name="billing_end_subscription",
    ),
    path("portal/billing/stripe/", views_cards.stripe_portal, name="billing_stripe_portal"),
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
    path("portal/settings/delete/", views_closing.delete, name="organisation_delete"),
    path("portal/billing/ledger.csv", views.ledger_csv, name="billing_ledger_csv"),
    path("webhooks/stripe/", webhooks.stripe_webhook, name="stripe_webhook"),
]
