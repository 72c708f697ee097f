"""What is kept of requests beside their usage records: metadata, and bodies for who wants them.

Usage records are the bill and stay for ever (`billing.models`); everything here is deleted when
its organisation's retention is over (`inference.log.retention`).
"""

from django.db import models
from django.utils import timezone

from accounts.models import Organisation


class RequestMetadata(models.Model):
    """One pair of a request's `metadata`: a row each, so that every database finds it by value."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    request_id = models.CharField(max_length=40)
    key = models.CharField(max_length=64)
    value = models.CharField(max_length=512)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["request_id", "key"], name="request_metadata_once_a_key"
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "key", "value"]),
            models.Index(fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.request_id}: {self.key}={self.value}"


class KeptBodies(models.Model):
    """A request and its answer as they went over the wire, sealed (`portal.lib.sealing`).

    The sizes are those of the wire; what is sealed ends at KEPT_BODY_MAX_BYTES.
    """

    request_id = models.CharField(primary_key=True, max_length=40)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    sealed_request = models.BinaryField()
    sealed_answer = models.BinaryField()
    request_bytes = models.PositiveBigIntegerField()
    answer_bytes = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "kept bodies"
        indexes = [models.Index(fields=["created_at"])]

    def __str__(self) -> str:
        return self.request_id
