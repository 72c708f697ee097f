"""Addresses of billing under /api/."""

from django.urls import path

from billing import api, api_alerts, api_spending, api_topups

urlpatterns = [
    path("alerts/", api_alerts.AlertsView.as_view(), name="api_alerts"),
    path("alerts/secret/", api_alerts.AlertsSecretView.as_view(), name="api_alerts_secret"),
    path("balance/", api.BalanceView.as_view(), name="api_balance"),
    path("limits/", api.LimitsView.as_view(), name="api_limits"),
    path("spending/", api_spending.SpendingView.as_view(), name="api_spending"),
    path("usage/", api.UsageView.as_view(), name="api_usage"),
    path("top-ups/", api_topups.TopUpsView.as_view(), name="api_top_ups"),
    path("top-ups/<str:top_up_id>/", api_topups.TopUpView.as_view(), name="api_top_up"),
    path("transfers/", api.TransferView.as_view(), name="api_transfers"),
]
