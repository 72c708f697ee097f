"""What is kept of requests beside their usage records: metadata, bodies, answers to repeat.

Usage records are the bill and stay for ever (`billing.models`); everything here is deleted when
its organisation's retention is over (`inference.log.retention`).
"""

from django.db import models
from django.db.models import Q
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


class StoredResponse(models.Model):
    """A response of `/v1/responses` and what it was asked, sealed (`inference.log.responses`)."""

    response_id = models.CharField(primary_key=True, max_length=40)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    sealed = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = [models.Index(fields=["created_at"])]

    def __str__(self) -> str:
        return self.response_id


class KeyedState(models.TextChoices):
    RUNNING = "running"  # its web process vouches for it until the lease is over
    KEPT = "kept"  # the answer is there to be repeated
    TOO_LARGE = "too_large"  # it was answered, and the answer was not kept


class KeyedRequest(models.Model):
    """A request with an Idempotency-Key: one row, so one generation, for each key and organisation.

    Whoever runs it knows its `token`; a process that has lost the row changes nothing any more.
    The answer is sealed. Key and body are there as hashes only.
    """

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    key_hash = models.BinaryField(max_length=32)
    body_hash = models.BinaryField(max_length=32)
    request_id = models.CharField(max_length=40)
    token = models.CharField(max_length=32)
    state = models.CharField(max_length=10, choices=KeyedState, default=KeyedState.RUNNING)
    lease = models.PositiveBigIntegerField()  # by `billing.pulse`
    sealed_answer = models.BinaryField(null=True)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "key_hash"], name="keyed_request_once"),
            models.CheckConstraint(
                condition=Q(state=KeyedState.KEPT, sealed_answer__isnull=False)
                | Q(state__in=[KeyedState.RUNNING, KeyedState.TOO_LARGE], sealed_answer=None),
                name="keyed_request_has_its_answer",
            ),
        ]
        indexes = [models.Index(fields=["expires_at"])]

    def __str__(self) -> str:
        return f"{self.request_id} ({self.state})"
