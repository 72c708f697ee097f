"""Addresses of billing under /api/."""

from django.urls import path

from billing import api, api_alerts, api_payments, api_spending, api_topups

urlpatterns = [
    path("alerts/", api_alerts.AlertsView.as_view(), name="api_alerts"),
    path("alerts/secret/", api_alerts.AlertsSecretView.as_view(), name="api_alerts_secret"),
    path("auto-top-up/", api_payments.AutoTopUpView.as_view(), name="api_auto_top_up"),
    path("balance/", api.BalanceView.as_view(), name="api_balance"),
    path("limits/", api.LimitsView.as_view(), name="api_limits"),
    path("spending/", api_spending.SpendingView.as_view(), name="api_spending"),
    path("usage/", api.UsageView.as_view(), name="api_usage"),
    path("top-ups/", api_topups.TopUpsView.as_view(), name="api_top_ups"),
    path("top-ups/<slug:top_up_id>/", api_topups.TopUpView.as_view(), name="api_top_up"),
    path("top-ups/<slug:top_up_id>/refund/", api_payments.RefundView.as_view(), name="api_refund"),
    path("refunds/", api_payments.RefundsView.as_view(), name="api_refunds"),
    path("transfers/", api.TransferView.as_view(), name="api_transfers"),
]
