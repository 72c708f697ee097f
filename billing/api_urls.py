"""Addresses of billing under /api/."""

from django.urls import path

from billing import api

urlpatterns = [
    path("balance/", api.BalanceView.as_view(), name="api_balance"),
    path("limits/", api.LimitsView.as_view(), name="api_limits"),
    path("usage/", api.UsageView.as_view(), name="api_usage"),
    path("transfers/", api.TransferView.as_view(), name="api_transfers"),
]
