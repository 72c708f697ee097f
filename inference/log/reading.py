"""One request of the log, as programs read it: under /v1 with a key that calls models, under /api
with one that manages.

The numbers are the usage record's, which is the bill; metadata and bodies are there for as long as
their organisation keeps them.
"""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import Organisation
from billing.models import Price, UsageRecord
from inference.log import bodies, metadata
from portal.lib.money import format_plain


class PriceSerializer(serializers.ModelSerializer[Price]):
    """Integer nano-US-dollars per million tokens."""

    class Meta:
        model = Price
        fields: ClassVar = [
            "input_nanos_per_mtok", "cached_input_nanos_per_mtok", "output_nanos_per_mtok",
            "flex_multiplier_bp", "effective_from",
        ]  # fmt: skip


class BodiesSerializer(serializers.Serializer[Any]):
    """As they went over the wire; shorter than their size when they were cut."""

    request = serializers.SerializerMethodField()
    answer = serializers.SerializerMethodField()
    request_bytes = serializers.IntegerField()
    answer_bytes = serializers.IntegerField()

    def get_request(self, found: bodies.Bodies) -> str:
        return found.request.decode(errors="replace")

    def get_answer(self, found: bodies.Bodies) -> str:
        return found.answer.decode(errors="replace")


class RequestSerializer(serializers.ModelSerializer[UsageRecord]):
    """Needs `metadata` in its context: of every request that is shown."""

    id = serializers.CharField(source="request_id")
    status = serializers.CharField(source="outcome", help_text="finished, aborted or failed")
    # Not "error": programs take an answer with that for a failure.
    error_code = serializers.CharField(source="error")
    prompt_tokens = serializers.IntegerField(help_text="Of these, cached_tokens were cached.")
    price = PriceSerializer()
    cost = serializers.SerializerMethodField(help_text="US dollars, exactly.")
    metadata = serializers.SerializerMethodField()

    class Meta:
        model = UsageRecord
        fields: ClassVar = [
            "id", "created_at", "status", "face", "endpoint", "model", "api_key_id", "stream",
            "finish_reason", "error_code", "prompt_tokens", "cached_tokens", "output_tokens",
            "waived_tokens", "service_tier", "price", "multiplier_bp", "cost_nanos", "cost",
            "started_at", "ttft_ms", "duration_ms", "metadata",
        ]  # fmt: skip

    def get_cost(self, record: UsageRecord) -> str:
        return format_plain(record.cost_nanos)

    def get_metadata(self, record: UsageRecord) -> dict[str, str]:
        pairs: dict[str, str] = self.context["metadata"].get(record.request_id, {})
        return pairs


class WholeRequestSerializer(RequestSerializer):
    """Needs `bodies` in its context, too: None when they are not kept."""

    bodies = serializers.SerializerMethodField()

    class Meta(RequestSerializer.Meta):
        fields: ClassVar = [*RequestSerializer.Meta.fields, "bodies"]

    @extend_schema_field(BodiesSerializer(allow_null=True))
    def get_bodies(self, _record: UsageRecord) -> dict[str, Any] | None:
        found = self.context["bodies"]
        return None if found is None else dict(BodiesSerializer(found).data)


def read(organisation_id: str, request_id: str) -> dict[str, Any] | None:
    """The request with everything kept of it; None when this organisation has none of that id."""
    record = (
        UsageRecord.objects.select_related("price", "organisation")
        .filter(request_id=request_id, organisation_id=organisation_id)
        .first()
    )
    if record is None:
        return None
    context = {
        "metadata": metadata.of(record.organisation, [request_id]),
        "bodies": bodies.read(organisation_id, request_id),
    }
    return dict(WholeRequestSerializer(record, context=context).data)


def describe(organisation: Organisation, records: list[UsageRecord]) -> list[dict[str, Any]]:
    """Each of them without bodies; their prices are read already."""
    context = {"metadata": metadata.of(organisation, [each.request_id for each in records])}
    return [dict(RequestSerializer(record, context=context).data) for record in records]
