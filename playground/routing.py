"""Addresses of the playground's sockets."""

from django.urls import URLPattern, path

from playground.consumers import PlaygroundConsumer

websocket_urlpatterns: list[URLPattern] = [
    path("ws/playground/", PlaygroundConsumer.as_asgi()),
]
