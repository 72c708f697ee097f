"""The management API of alerts: what an organisation is told about its money, and how."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Organisation
from billing import alert_settings
from billing.api import organisation_of
from portal.lib.callbacks import MAX_URL
from portal.lib.money import MAX_NANOS
from portal.lib.strict_fields import KnownFieldsOnly, StrictBoolean, StrictChar, StrictInteger

NO_STORE = {"Cache-Control": "no-store"}


class AlertsSerializer(KnownFieldsOnly):
    percentages = serializers.ListField(
        child=StrictInteger(min_value=1, max_value=100), required=False,
        max_length=alert_settings.MOST_PERCENTAGES, help_text="Of the monthly cap.",
    )  # fmt: skip
    low_balance_nanos = StrictInteger(
        min_value=1, max_value=MAX_NANOS, allow_null=True, required=False,
        help_text="An alert is sent when the balance falls below it; null: never.",
    )  # fmt: skip
    by_mail = StrictBoolean(
        required=False, help_text="To owners, admins and members with the billing role."
    )
    webhook_url = StrictChar(
        max_length=MAX_URL, allow_blank=True, required=False,
        help_text="Where they are posted; empty: nowhere.",
    )  # fmt: skip

    def validate_percentages(self, wanted: list[int]) -> list[int]:
        return alert_settings.percentages(wanted)

    def validate_webhook_url(self, wanted: str) -> str:
        try:
            return alert_settings.webhook_url(wanted)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None


class ChangedAlertsSerializer(AlertsSerializer):
    webhook_secret = serializers.CharField(
        allow_null=True, help_text="In the answer that made it and nowhere else."
    )


class WebhookSecretSerializer(serializers.Serializer[Any]):
    webhook_secret = serializers.CharField(help_text="In this answer and nowhere else.")


WISHES = OpenApiExample(
    "by mail and webhook",
    {
        "percentages": [50, 80, 95], "low_balance_nanos": 5_000_000_000, "by_mail": True,
        "webhook_url": "https://example.com/hooks/parlance",
    },
    request_only=True,
)  # fmt: skip


class AlertsView(APIView):
    @extend_schema(responses=AlertsSerializer)
    def get(self, request: Request) -> Response:
        """What is told about the monthly cap and the balance, and how."""
        return Response(AlertsSerializer(alert_settings.read(caller(request))).data)

    @extend_schema(request=AlertsSerializer, responses=ChangedAlertsSerializer, examples=[WISHES])
    def patch(self, request: Request) -> Response:
        """Change what is named; the first address makes the secret that signs what is posted."""
        asked = AlertsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        organisation = caller(request)
        secret = alert_settings.change(organisation, **asked.validated_data)
        told = AlertsSerializer(alert_settings.read(organisation)).data
        return Response({**told, "webhook_secret": secret}, headers=NO_STORE)


class AlertsSecretView(APIView):
    @extend_schema(request=None, responses={201: WebhookSecretSerializer})
    def post(self, request: Request) -> Response:
        """Replace the secret; posts from now on are signed with the new one alone."""
        secret = alert_settings.new_secret(caller(request))
        return Response(
            {"webhook_secret": secret}, status=status.HTTP_201_CREATED, headers=NO_STORE
        )


def caller(request: Request) -> Organisation:
    return Organisation.objects.get(pk=organisation_of(request))
