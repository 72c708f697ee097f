"""The management API of billing: balance, limits, usage and ledger, to read."""

from datetime import UTC, date, timedelta
from typing import Any, ClassVar, cast

from django.core.validators import MinValueValidator
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import Caller
from billing import ledger, subscriptions, tiers, usage
from billing.models import Account, PostPaid, Transfer
from portal.lib.pagination import NewestFirst
from portal.lib.strict_fields import KnownFieldsOnly

MOST_DAYS = 366


class LatestPosted(NewestFirst):
    ordering = "-id"


class PlanSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(source="plan.name")
    status = serializers.CharField(help_text="Stripe's: `active`, `past_due` and others.")
    price_nanos = serializers.IntegerField(source="plan.price_nanos", help_text="Of each period.")
    credit_nanos = serializers.IntegerField(source="plan.credit_nanos", help_text="For it.")
    interval = serializers.CharField(source="plan.interval", help_text="`month` or `year`.")
    period_ends_at = serializers.DateTimeField(allow_null=True)
    ends = serializers.BooleanField(source="cancels", help_text="With this period.")


class BalanceSerializer(serializers.Serializer[Any]):
    """Integer nano-US-dollars."""

    posted_nanos = serializers.IntegerField(help_text="Paid in minus charged; below zero: owed.")
    pending_nanos = serializers.IntegerField(help_text="Held by running requests.")
    available_nanos = serializers.IntegerField(
        help_text="For new requests: posted - pending + the credit line."
    )
    pays_later = serializers.BooleanField(help_text="Whether usage is invoiced each month.")
    credit_line_nanos = serializers.IntegerField(help_text="How much may be owed.")
    owed_nanos = serializers.IntegerField(help_text="Invoiced, or to be invoiced.")
    plans = PlanSerializer(many=True, help_text="Subscribed to.")


class TransferSerializer(serializers.ModelSerializer[Transfer]):
    class Meta:
        model = Transfer
        fields: ClassVar = ["reference", "kind", "amount_nanos", "description", "created_at"]


class TierSerializer(serializers.Serializer[Any]):
    """Limits of 0 are none."""

    name = serializers.CharField()
    paid_nanos = serializers.IntegerField(help_text="Whoever has paid this much in has this tier.")
    requests_per_minute = serializers.IntegerField()
    tokens_per_minute = serializers.IntegerField()


class LimitsSerializer(serializers.Serializer[Any]):
    tier = TierSerializer()
    paid_nanos = serializers.IntegerField(help_text="All that was ever paid in.")
    overridden = serializers.BooleanField(help_text="Whether the operator has chosen the tier.")
    tiers = TierSerializer(many=True, help_text="All that there are, lowest first.")


class UsageQuerySerializer(KnownFieldsOnly):
    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False, validators=[MinValueValidator(date(2000, 1, 1))])
    group_by = serializers.ChoiceField(choices=list(usage.GROUPS), default="day")

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        tomorrow = timezone.now().astimezone(UTC).date() + timedelta(days=1)
        until = asked.setdefault("until", tomorrow)
        since = asked.setdefault("since", until - timedelta(days=30))
        if not 0 < (until - since).days <= MOST_DAYS:
            message = f"It must be before 'until', by at most {MOST_DAYS} days."
            raise serializers.ValidationError({"since": message})
        return asked


class UsageSumSerializer(serializers.Serializer[Any]):
    """Usage of one day, model or key; tokens are disjoint: the prompt is uncached + cached."""

    group = serializers.CharField(help_text="The day, the model's name or the key's id.")
    requests = serializers.IntegerField()
    uncached_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_nanos = serializers.IntegerField()


def organisation_of(request: Request) -> str:
    return cast("Caller", request.auth).organisation_id


class BalanceView(APIView):
    @extend_schema(responses=BalanceSerializer)
    def get(self, request: Request) -> Response:
        """What is left, what is owed by whoever pays later, and the plan."""
        organisation_id = organisation_of(request)
        balance = ledger.balance(organisation_id)
        answer = {
            "posted_nanos": balance.posted_nanos,
            "pending_nanos": balance.pending_nanos,
            "available_nanos": balance.available_nanos,
            "pays_later": PostPaid.objects.filter(pk=organisation_id, active=True).exists(),
            "credit_line_nanos": balance.credit_line_nanos,
            "owed_nanos": max(0, -balance.posted_nanos),
            "plans": subscriptions.live(organisation_id),
        }
        return Response(BalanceSerializer(answer).data)


class LimitsView(APIView):
    @extend_schema(responses=LimitsSerializer)
    def get(self, request: Request) -> Response:
        """How fast all keys of the organisation together may call, and why."""
        standing = tiers.standing(organisation_of(request))
        answer = {
            "tier": standing.tier,
            "paid_nanos": standing.paid_nanos,
            "overridden": standing.overridden,
            "tiers": tiers.table(),
        }
        return Response(LimitsSerializer(answer).data)


class UsageView(APIView):
    @extend_schema(parameters=[UsageQuerySerializer], responses=UsageSumSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Sums of usage from `since` to before `until` (days, UTC; the last 30 unless said)."""
        asked = UsageQuerySerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        sums = usage.sums(organisation_of(request), **asked.validated_data)
        return Response(UsageSumSerializer(sums, many=True).data)


class TransferView(generics.ListAPIView[Transfer]):
    serializer_class = TransferSerializer
    pagination_class = LatestPosted

    def get_queryset(self) -> QuerySet[Transfer]:
        # By its number: through a join the database would go through everybody's.
        account = Account.objects.get(organisation_id=organisation_of(self.request))
        return Transfer.objects.filter(Q(credit_account=account) | Q(debit_account=account))
