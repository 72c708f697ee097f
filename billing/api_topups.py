"""The management API of top-ups: begin one, which a person pays on Stripe's page; read them."""

import hashlib
import secrets
from typing import ClassVar

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import exceptions, generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import Caller
from accounts.models import Organisation, Role, User
from billing import refusals, stripe_api, topups
from billing.api import organisation_of
from billing.models import TopUp
from portal.lib.strict_fields import KnownFieldsOnly, StrictInteger

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER,
    description="At most 255 characters: the same key and amount lead to the same top-up.",
)  # fmt: skip
MAX_KEY_CHARS = 255


class TopUpSerializer(serializers.ModelSerializer[TopUp]):
    class Meta:
        model = TopUp
        fields: ClassVar = [
            "id", "amount_cents", "discount_cents", "tax_cents", "refunded_cents",
            "disputed_cents", "state", "automatic", "checkout_url", "created_at", "paid_at",
        ]  # fmt: skip


class NewTopUpSerializer(KnownFieldsOnly):
    amount_cents = StrictInteger(
        min_value=settings.TOP_UP_MIN_CENTS, max_value=settings.TOP_UP_MAX_CENTS
    )


class PaymentsOff(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "Payments are not set up here; ask the operator for credit."
    default_code = "payments_not_set_up"


class PaymentsAway(exceptions.APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "Stripe is not responding. Nothing was charged; please try again."
    default_code = "payments_unavailable"
    wait = 5  # seconds, for Retry-After


class PaymentsRefused(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "Stripe refused this, so nothing was charged; please tell the operator."
    default_code = "payments_refused"


class KeyUsedBefore(exceptions.APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "This 'Idempotency-Key' was used with another amount before."
    default_code = "idempotency_key_reused"


class TopUpsView(generics.ListAPIView[TopUp]):
    serializer_class = TopUpSerializer

    def get_queryset(self) -> QuerySet[TopUp]:
        return own_top_ups(self.request)

    @extend_schema(
        request=NewTopUpSerializer,
        responses={201: TopUpSerializer},
        parameters=[IDEMPOTENCY_KEY],
        examples=[OpenApiExample("25 dollars", {"amount_cents": 2500}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Begin a top-up: whoever pays on its `checkout_url` pays credit in."""
        asked = NewTopUpSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        if not stripe_api.enabled():
            raise PaymentsOff
        amount_cents = asked.validated_data["amount_cents"]
        token = form_token(request)
        used = own_top_ups(request).filter(form_token__startswith=f"{token}-")
        if used.exclude(amount_cents=amount_cents).exists():
            raise KeyUsedBefore
        organisation = Organisation.objects.get(pk=organisation_of(request))
        try:
            top_up = topups.begin(organisation, amount_cents, token, payer(request, organisation))
        except stripe_api.StripeUnavailable as error:
            refusals.log(request.path, error)
            raise (PaymentsRefused if error.refused else PaymentsAway) from None
        return Response(TopUpSerializer(top_up).data, status=status.HTTP_201_CREATED)


class TopUpView(APIView):
    @extend_schema(responses=TopUpSerializer)
    def get(self, request: Request, top_up_id: str) -> Response:
        """`paid` once the money is there."""
        top_up = generics.get_object_or_404(own_top_ups(request), pk=top_up_id)
        return Response(TopUpSerializer(top_up).data)


def own_top_ups(request: Request) -> QuerySet[TopUp]:
    return TopUp.objects.filter(organisation_id=organisation_of(request))


def form_token(request: Request) -> str:
    """What makes a call that is sent twice one top-up, as the token in a form does."""
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY_CHARS:
        message = f"At most {MAX_KEY_CHARS} characters."
        raise exceptions.ValidationError({"Idempotency-Key": message})
    return hashlib.sha256(key.encode()).hexdigest()[:40] if key else secrets.token_hex(20)


def payer(request: Request, organisation: Organisation) -> str:
    """Who gets the receipt: the person who made the key, or an owner."""
    caller = request.auth
    assert isinstance(caller, Caller)
    members = User.objects.filter(organisations=organisation)
    maker = members.filter(pk=caller.user_id).first() if caller.user_id is not None else None
    if maker is None:
        owner = organisation.memberships.filter(role=Role.OWNER).order_by("pk").first()
        assert owner is not None, "an organisation has an owner"
        maker = owner.user
    return maker.email
