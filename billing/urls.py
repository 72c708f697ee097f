"""Addresses of this part; its owner fills them in."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
