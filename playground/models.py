"""What a person keeps in the playground: conversations and their messages."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from accounts.models import Organisation, User
from portal.lib.ids import new_id


def new_conversation_id() -> str:
    return new_id("conv")


def new_preset_id() -> str:
    return new_id("preset")


def new_snapshot_id() -> str:
    return new_id("snap")


class Mode(models.TextChoices):
    CHAT = "chat"
    COMPLETION = "completion"


class Conversation(models.Model):
    """Of a completion, the first message is the text that was continued."""

    id = models.CharField(primary_key=True, max_length=40, default=new_conversation_id)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="conversations"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=120)
    mode = models.CharField(max_length=16, choices=Mode.choices, default=Mode.CHAT)
    model = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["user", "organisation", "-updated_at"])]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(mode__in=Mode.values), name="conversation_mode_known"
            )
        ]

    def __str__(self) -> str:
        return self.title


class Message(models.Model):
    """One message; an answer also carries the request that made it and what it measured.

    `tool_calls` and `tool_call_id` are in the form of the REST API's messages.
    """

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="messages"
    )
    position = models.PositiveIntegerField()
    role = models.CharField(max_length=16)
    content = models.TextField(blank=True)
    tool_calls = models.JSONField(default=list)
    tool_call_id = models.CharField(max_length=256, blank=True)
    request_id = models.CharField(max_length=40, blank=True)
    measured = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["conversation", "position"], name="message_position_once"
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=("system", "user", "assistant", "tool")),
                name="message_role_known",
            ),
            models.CheckConstraint(
                condition=models.Q(role="tool") ^ models.Q(tool_call_id=""),
                name="message_of_a_tool_answers_a_call",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:40]}"


class Preset(models.Model):
    """Settings and messages that a person keeps under a name; each saving is a version."""

    id = models.CharField(primary_key=True, max_length=40, default=new_preset_id)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="presets")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="presets")
    name = models.CharField(max_length=80)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "organisation", "name"], name="preset_name_once"
            ),
            models.CheckConstraint(condition=~models.Q(name=""), name="preset_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name


class PresetVersion(models.Model):
    """Never changed once it is there; `content` is a `playground.presets.Content`."""

    preset = models.ForeignKey(Preset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    content = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["preset", "number"], name="preset_version_once"),
            models.CheckConstraint(
                condition=models.Q(number__gte=1), name="preset_versions_count_from_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.preset} {self.number}"


class Audience(models.TextChoices):
    ORGANISATION = "organisation"
    ANYONE = "anyone"


class Snapshot(models.Model):
    """A conversation as it stood when its link was made, with what was measured.

    The id is the link: 96 random bits. What it shows is never changed, only who may see it; it goes
    with the conversation.
    """

    id = models.CharField(primary_key=True, max_length=40, default=new_snapshot_id)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="snapshots"
    )
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="snapshots"
    )
    audience = models.CharField(max_length=16, choices=Audience.choices)
    content = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(audience__in=Audience.values), name="snapshot_audience_known"
            )
        ]

    def __str__(self) -> str:
        return self.id
