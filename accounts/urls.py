"""Addresses of accounts; sign-in itself is django-allauth's, under /accounts/."""

from django.urls import path

from accounts import views

urlpatterns = [
    path("operator-link/<str:token>/", views.operator_link, name="operator_link"),
]
