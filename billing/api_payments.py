"""The management API of money that comes and goes by itself: automatic top-up, and refunds."""

from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import exceptions, generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Organisation
from billing import autotopup, refunds
from billing.api import organisation_of
from billing.api_topups import IDEMPOTENCY_KEY, form_token, own_top_ups, payer
from billing.models import AutoTopUp, AutoTopUpState, Refund, StripeCustomer
from portal.lib.strict_fields import KnownFieldsOnly, StrictBoolean, StrictInteger

CENTS: dict[str, Any] = {"max_value": settings.TOP_UP_MAX_CENTS, "required": False}


class AutoTopUpSerializer(KnownFieldsOnly):
    """Integer cents of US dollars; a saved card is charged, so somebody saves one on Billing."""

    enabled = StrictBoolean(required=False)
    threshold_cents = StrictInteger(
        min_value=100, help_text="Charged when the balance falls below it.", **CENTS
    )
    amount_cents = StrictInteger(
        min_value=settings.TOP_UP_MIN_CENTS, help_text="Of each charge.", **CENTS
    )
    ceiling_cents = StrictInteger(
        min_value=settings.TOP_UP_MIN_CENTS, help_text="The most in a calendar month (UTC).",
        required=False, max_value=100 * settings.TOP_UP_MAX_CENTS,
    )  # fmt: skip
    state = serializers.ChoiceField(choices=AutoTopUpState.choices, read_only=True)
    charged_cents = serializers.IntegerField(read_only=True, help_text="This month.")
    has_card = serializers.BooleanField(read_only=True)


class NoCard(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "There is no saved card; an owner, admin or billing member saves one."
    default_code = "no_saved_card"


TURN_ON = OpenApiExample(
    "25 dollars when less than 5 are left",
    {"enabled": True, "threshold_cents": 500, "amount_cents": 2500, "ceiling_cents": 10_000},
    request_only=True,
)


class AutoTopUpView(APIView):
    @extend_schema(responses=AutoTopUpSerializer)
    def get(self, request: Request) -> Response:
        """Whether a saved card is charged by itself, when, and how much."""
        return Response(AutoTopUpSerializer(_shown(organisation_of(request))).data)

    @extend_schema(request=AutoTopUpSerializer, responses=AutoTopUpSerializer, examples=[TURN_ON])
    def patch(self, request: Request) -> Response:
        """Turn it on or off, or change what is named."""
        asked = AutoTopUpSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        organisation = Organisation.objects.get(pk=organisation_of(request))
        wanted = {**_shown(organisation.pk), **asked.validated_data}
        if not wanted["enabled"]:
            _refuse_amounts(asked.validated_data)
            autotopup.turn_off(organisation)
        else:
            _turn_on(organisation, wanted, payer(request, organisation))
        return self.get(request)


def _shown(organisation_id: str) -> dict[str, Any]:
    auto = AutoTopUp.objects.filter(pk=organisation_id).first()
    saved = StripeCustomer.objects.filter(pk=organisation_id).exclude(payment_method_id="")
    amounts = autotopup.cents(auto)
    state = auto.state if auto is not None else AutoTopUpState.OFF
    return {
        **amounts,
        "enabled": state != AutoTopUpState.OFF,
        "state": state,
        "charged_cents": autotopup.charged_cents(auto) if auto is not None else 0,
        "has_card": saved.exists(),
    }


def _refuse_amounts(asked: dict[str, Any]) -> None:
    """An amount while it is off would be forgotten."""
    for name in asked:
        if name != "enabled":
            raise serializers.ValidationError({name: "Set it together with 'enabled': true."})


def _turn_on(organisation: Organisation, wanted: dict[str, Any], by: str) -> None:
    if not wanted["has_card"]:
        raise NoCard
    if wanted["ceiling_cents"] < wanted["amount_cents"]:
        raise serializers.ValidationError({"ceiling_cents": "It must allow at least one charge."})
    try:
        autotopup.turn_on(
            organisation, wanted["threshold_cents"], wanted["amount_cents"],
            wanted["ceiling_cents"], by,
        )  # fmt: skip
    except ValueError:
        message = "More was charged this month already; turn it off instead."
        raise serializers.ValidationError({"ceiling_cents": message}) from None


# --- Refunds -------------------------------------------------------------------------------------


class RefundSerializer(serializers.ModelSerializer[Refund]):
    top_up = serializers.CharField(source="top_up_id")

    class Meta:
        model = Refund
        fields: ClassVar = ["id", "top_up", "amount_cents", "tax_cents", "state", "created_at"]


class NothingToRefund(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "nothing_to_refund"


class RefundView(APIView):
    @extend_schema(request=None, responses={201: RefundSerializer}, parameters=[IDEMPOTENCY_KEY])
    def post(self, request: Request, top_up_id: str) -> Response:
        """Send what is unused of a payment back to its card, within the period that Billing says.

        A 409 says that nothing of it can go back (any more).
        """
        top_up = generics.get_object_or_404(own_top_ups(request), pk=top_up_id)
        by = payer(request, top_up.organisation)
        try:
            refund = refunds.ask(top_up, form_token(request), by)
        except ValueError as error:
            raise NothingToRefund(str(error)) from None
        return Response(RefundSerializer(refund).data, status=status.HTTP_201_CREATED)


class RefundsView(generics.ListAPIView[Refund]):
    serializer_class = RefundSerializer

    def get_queryset(self) -> Any:
        return Refund.objects.filter(top_up__organisation_id=organisation_of(self.request))
