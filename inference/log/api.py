"""The management API of the request log: find requests, and read one with what is kept of it."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Organisation
from billing.api import organisation_of
from billing.models import Outcome, UsageRecord
from inference.log import metadata, reading
from inference.log.reading import RequestSerializer, WholeRequestSerializer
from portal.lib.pagination import NewestFirst


class FilterSerializer(serializers.Serializer[Any]):
    """What a list may be narrowed by; everything that is given has to hold."""

    model = serializers.CharField(max_length=200, required=False)
    api_key_id = serializers.UUIDField(required=False)
    status = serializers.ChoiceField(choices=Outcome.choices, required=False)
    since = serializers.DateTimeField(required=False, help_text="At or after this moment.")
    until = serializers.DateTimeField(required=False, help_text="Before this moment.")
    metadata = serializers.ListField(
        child=serializers.CharField(max_length=577),
        max_length=16,
        required=False,
        help_text="key=value; several times for several pairs.",
    )
    cursor = serializers.CharField(required=False)

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A misspelt filter would find everything."""
        if unknown := set(self.initial_data) - set(self.fields):
            raise serializers.ValidationError({min(unknown): ["There is no such filter."]})
        if empty := [name for name in self.initial_data if not self.initial_data[name]]:
            raise serializers.ValidationError({min(empty): ["It is empty."]})
        return asked


def matching(organisation: Organisation, asked: dict[str, Any]) -> QuerySet[UsageRecord]:
    """The organisation's records that fit. Raises ValidationError naming a bad pair."""
    fields = {
        "model": "model", "api_key_id": "api_key_id", "status": "outcome",
        "since": "created_at__gte", "until": "created_at__lt",
    }  # fmt: skip
    wanted = {field: asked[name] for name, field in fields.items() if name in asked}
    found = UsageRecord.objects.filter(organisation=organisation, **wanted)
    for pair in asked.get("metadata", ()):
        try:
            found = found.filter(request_id__in=metadata.requests_with(organisation, pair))
        except ValueError as error:
            raise serializers.ValidationError({"metadata": [str(error)]}) from None
    return found.select_related("price")


class RequestsView(APIView):
    pagination_class = NewestFirst  # also for the published schema

    @extend_schema(parameters=[FilterSerializer], responses=RequestSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Requests, newest first, without their bodies."""
        filters = FilterSerializer(data=request.query_params)
        filters.is_valid(raise_exception=True)
        organisation = Organisation.objects.get(pk=organisation_of(request))
        paginator = self.pagination_class()
        found = matching(organisation, filters.validated_data)
        page = paginator.paginate_queryset(found, request, self)
        return paginator.get_paginated_response(reading.describe(organisation, page or []))


class RequestView(APIView):
    @extend_schema(responses=WholeRequestSerializer)
    def get(self, request: Request, request_id: str) -> Response:
        """One request, with its bodies when they are kept."""
        found = reading.read(organisation_of(request), request_id)
        if found is None:
            raise exceptions.NotFound
        return Response(found)
