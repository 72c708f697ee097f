"""What a person keeps in the playground: conversations and their messages."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from accounts.models import Organisation, User
from portal.lib.ids import new_id


def new_conversation_id() -> str:
    return new_id("conv")


class Conversation(models.Model):
    id = models.CharField(primary_key=True, max_length=40, default=new_conversation_id)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="conversations"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=120)
    model = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["user", "organisation", "-updated_at"])]

    def __str__(self) -> str:
        return self.title


class Message(models.Model):
    """One message; an answer also carries the request that made it and what it measured."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="messages"
    )
    position = models.PositiveIntegerField()
    role = models.CharField(max_length=16)
    content = models.TextField(blank=True)
    request_id = models.CharField(max_length=40, blank=True)
    measured = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["conversation", "position"], name="message_position_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:40]}"
