"""Addresses below /playground/."""

from django.urls import path

from playground import views

urlpatterns = [
    path("", views.playground, name="playground"),
    path("code/", views.code, name="playground_code"),
    path("answers/<slug:request_id>/", views.answer, name="playground_answer"),
    path("conversations/", views.conversations, name="playground_conversations"),
    path(
        "conversations/<slug:conversation_id>/",
        views.conversation,
        name="playground_conversation",
    ),
    path(
        "conversations/<slug:conversation_id>/delete/",
        views.delete_conversation,
        name="playground_conversation_delete",
    ),
]
