"""The management API of spending: what this month cost, and the cap that the customer sets."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Organisation
from billing import spending
from billing.api import organisation_of
from portal.lib.money import MAX_NANOS
from portal.lib.strict_fields import KnownFieldsOnly, StrictInteger


class SpendingSerializer(KnownFieldsOnly):
    """Integer nano-US-dollars of this calendar month (UTC)."""

    month = serializers.DateField(read_only=True, help_text="Its first day.")
    spent_nanos = serializers.IntegerField(read_only=True, help_text="Charged in this month.")
    held_nanos = serializers.IntegerField(read_only=True, help_text="By requests running now.")
    monthly_cap_nanos = StrictInteger(
        min_value=0, max_value=MAX_NANOS, allow_null=True, required=False,
        help_text="Requests that might go over it are refused; null: none.",
    )  # fmt: skip


CAP = OpenApiExample("fifty dollars", {"monthly_cap_nanos": 50_000_000_000}, request_only=True)


class SpendingView(APIView):
    @extend_schema(responses=SpendingSerializer)
    def get(self, request: Request) -> Response:
        """What this month has cost, and the organisation's monthly cap."""
        return Response(SpendingSerializer(spending.standing(organisation_of(request))).data)

    @extend_schema(request=SpendingSerializer, responses=SpendingSerializer, examples=[CAP])
    def patch(self, request: Request) -> Response:
        """Set the cap; it holds for the next request."""
        asked = SpendingSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        changes: dict[str, Any] = asked.validated_data
        if "monthly_cap_nanos" in changes:
            organisation = Organisation.objects.get(pk=organisation_of(request))
            spending.set_monthly_cap(organisation, changes["monthly_cap_nanos"])
        return self.get(request)
