"""Addresses below /playground/."""

from django.urls import path, re_path

from playground import conversation_views, preset_views, snapshot_views, views

urlpatterns = [
    path("", views.playground, name="playground"),
    path("code/", views.code, name="playground_code"),
    path("answers/<slug:request_id>/", conversation_views.answer, name="playground_answer"),
    re_path(
        r"^conversations\.(?P<form>json|md)$",
        conversation_views.export_all,
        name="playground_export_all",
    ),
    path("conversations/", conversation_views.conversations, name="playground_conversations"),
    path(
        "conversations/<slug:conversation_id>/",
        conversation_views.conversation,
        name="playground_conversation",
    ),
    path(
        "conversations/<slug:conversation_id>/delete/",
        conversation_views.delete_conversation,
        name="playground_conversation_delete",
    ),
    re_path(
        r"^conversations/(?P<conversation_id>[-a-zA-Z0-9_]+)\.(?P<form>json|md)$",
        conversation_views.export,
        name="playground_conversation_export",
    ),
    path(
        "conversations/<slug:conversation_id>/snapshots/",
        snapshot_views.snapshot_list,
        name="playground_snapshots",
    ),
    path(
        "snapshots/<slug:snapshot_id>/",
        snapshot_views.change_snapshot,
        name="playground_snapshot_change",
    ),
    path(
        "snapshots/<slug:snapshot_id>/delete/",
        snapshot_views.delete_snapshot,
        name="playground_snapshot_delete",
    ),
    path("shared/<slug:snapshot_id>/", snapshot_views.shared, name="playground_shared"),
    path("presets/", preset_views.preset_list, name="playground_presets"),
    path("presets/<slug:preset_id>/", preset_views.preset, name="playground_preset"),
    path(
        "presets/<slug:preset_id>/delete/",
        preset_views.delete_preset,
        name="playground_preset_delete",
    ),
]
