"""The management API of accounts: the organisation, its members and keys.

A management key acts as an admin of its organisation does; what is another's is not found.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, cast
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import exceptions, generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import flows, reach
from accounts.authentication import Caller
from accounts.invitations import invite
from accounts.models import (
    MAX_PER_MINUTE,
    ApiKey,
    Invitation,
    Membership,
    Organisation,
    Role,
    Scope,
    User,
)
from portal.lib.names import check_plain_name
from portal.lib.strict_fields import (
    KnownFieldsOnly,
    StrictChar,
    StrictInteger,
    StrictModelSerializer,
)


class ManagementKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the published schema describes the key; found by drf-spectacular on its own."""

    target_class = "accounts.authentication.ManagementKeyAuthentication"
    name = "managementKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A key that may manage."}


class OrganisationSerializer(StrictModelSerializer[Organisation]):
    class Meta:
        model = Organisation
        fields: ClassVar = [
            "id", "name", "created_at", "keeps_bodies", "body_retention_days",
            "metadata_retention_days",
        ]  # fmt: skip
        read_only_fields: ClassVar = ["id", "created_at"]

    def update(self, instance: Organisation, validated_data: dict[str, Any]) -> Organisation:
        """Write what is named, and nothing that somebody else changes meanwhile."""
        for name, value in validated_data.items():
            setattr(instance, name, value)
        instance.save(update_fields=validated_data)
        return instance


class MemberSerializer(StrictModelSerializer[Membership]):
    email = serializers.EmailField(source="user.email", read_only=True)

    class Meta:
        model = Membership
        fields: ClassVar = ["id", "email", "role", "created_at"]
        read_only_fields: ClassVar = ["id", "created_at"]


class InvitationSerializer(StrictModelSerializer[Invitation]):
    class Meta:
        model = Invitation
        fields: ClassVar = ["id", "email", "role", "created_at", "expires_at"]


class NewInvitationSerializer(StrictModelSerializer[Invitation]):
    class Meta:
        model = Invitation
        fields: ClassVar = ["email", "role"]


class KeySerializer(StrictModelSerializer[ApiKey]):
    class Meta:
        model = ApiKey
        fields: ClassVar = [
            "id", "name", "scope", "prefix", "last_four", "allowed_models", "ip_ranges",
            "monthly_cap_nanos", "requests_per_minute", "tokens_per_minute", "created_at",
            "expires_at", "revoked_at", "last_used_at",
        ]  # fmt: skip


class KeyFieldsSerializer(KnownFieldsOnly):
    """What its owner sets of a key; null is none."""

    name = StrictChar(max_length=100, validators=[check_plain_name])
    allowed_models = serializers.ListField(
        child=StrictChar(max_length=200), max_length=100, required=False,
        help_text="Names as /v1/models lists them, no aliases, not looked up; empty: every model.",
    )  # fmt: skip
    ip_ranges = serializers.ListField(
        child=StrictChar(max_length=50), max_length=flows.MAX_IP_RANGES, required=False,
        help_text="Addresses and CIDR ranges; empty: from anywhere.",
    )  # fmt: skip
    monthly_cap_nanos = StrictInteger(
        min_value=0, max_value=10**18, required=False, allow_null=True
    )
    requests_per_minute = StrictInteger(
        min_value=1, max_value=MAX_PER_MINUTE, required=False, allow_null=True
    )
    tokens_per_minute = StrictInteger(
        min_value=1, max_value=MAX_PER_MINUTE, required=False, allow_null=True
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True)

    def validate_ip_ranges(self, words: list[str]) -> list[str]:
        try:
            return flows.ip_ranges(words)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None

    def validate_expires_at(self, expires_at: Any) -> Any:
        if expires_at is not None and expires_at <= timezone.now():
            raise serializers.ValidationError("Choose a time in the future.")
        return expires_at


class NewKeySerializer(KeyFieldsSerializer):
    scope = serializers.ChoiceField(choices=Scope.choices, default=Scope.INFERENCE)


class SecretKeySerializer(KeySerializer):
    secret = StrictChar(help_text="In this answer and nowhere else.")

    class Meta(KeySerializer.Meta):
        fields: ClassVar = [*KeySerializer.Meta.fields, "secret"]


RENAME = OpenApiExample("rename", {"name": "Acme"}, request_only=True)
PROMOTE = OpenApiExample("promote", {"role": "admin"}, request_only=True)
INVITE = OpenApiExample(
    "invite", {"email": "carol@example.com", "role": "developer"}, request_only=True
)
MAKE_KEY = OpenApiExample(
    "a key with limits",
    {
        "name": "nightly tests", "scope": "inference", "allowed_models": ["starter"],
        "monthly_cap_nanos": 5_000_000_000, "requests_per_minute": 600,
    },
    request_only=True,
)  # fmt: skip
CHANGE_KEY = OpenApiExample("slower", {"requests_per_minute": 60}, request_only=True)


@extend_schema_view(patch=extend_schema(examples=[RENAME]))
class OrganisationView(generics.RetrieveUpdateAPIView[Organisation]):
    serializer_class = OrganisationSerializer
    http_method_names = ["get", "patch", "head", "options"]

    def get_object(self) -> Organisation:
        return Organisation.objects.get(pk=caller_of(self.request).organisation_id)


class MembersView(generics.ListAPIView[Membership]):
    serializer_class = MemberSerializer

    def get_queryset(self) -> QuerySet[Membership]:
        return own_members(self.request)


class MemberView(APIView):
    @extend_schema(responses=MemberSerializer)
    def get(self, request: Request, member_id: int) -> Response:
        member = generics.get_object_or_404(own_members(request), pk=member_id)
        return Response(MemberSerializer(member).data)

    @extend_schema(request=MemberSerializer, responses=MemberSerializer, examples=[PROMOTE])
    def patch(self, request: Request, member_id: int) -> Response:
        """Give a member another role; owners are made and unmade on the site alone."""
        member = self.not_an_owner(request, member_id)
        asked = MemberSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        if asked.validated_data["role"] == Role.OWNER:
            raise exceptions.PermissionDenied("Only an owner can do that.")
        try:
            flows.change_role(member, asked.validated_data["role"])
        except ValueError:  # they left in this moment
            raise exceptions.NotFound from None
        return Response(MemberSerializer(member).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, member_id: int) -> Response:
        """Remove a member."""
        flows.remove_member(self.not_an_owner(request, member_id))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def not_an_owner(self, request: Request, member_id: int) -> Membership:
        member = generics.get_object_or_404(own_members(request), pk=member_id)
        if member.role == Role.OWNER:
            raise exceptions.PermissionDenied("Only an owner can do that.")
        return member


class InvitationsView(generics.ListAPIView[Invitation]):
    serializer_class = InvitationSerializer

    def get_queryset(self) -> QuerySet[Invitation]:
        return open_invitations(self.request)

    @extend_schema(
        request=NewInvitationSerializer, responses={201: InvitationSerializer}, examples=[INVITE]
    )
    def post(self, request: Request) -> Response:
        """Invite somebody by mail, for seven days; an open invitation of theirs is replaced."""
        asked = NewInvitationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        email, role = asked.validated_data["email"], asked.validated_data["role"]
        if role == Role.OWNER:
            raise exceptions.PermissionDenied("Only an owner can do that.")
        organisation = Organisation.objects.get(pk=caller_of(request).organisation_id)
        try:
            made = invite(organisation, maker(request), email, role)
        except ValueError as error:
            raise exceptions.ValidationError({"email": str(error)}) from None
        return Response(InvitationSerializer(made).data, status=status.HTTP_201_CREATED)


class InvitationView(APIView):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, invitation_id: int) -> Response:
        """Withdraw an invitation that nobody has accepted."""
        found = generics.get_object_or_404(open_invitations(request), pk=invitation_id)
        if found.role == Role.OWNER:
            raise exceptions.PermissionDenied("Only an owner can do that.")
        try:
            flows.withdraw_invitation(found)
        except ValueError:  # it was accepted in this moment
            raise exceptions.NotFound from None
        return Response(status=status.HTTP_204_NO_CONTENT)


class KeysView(generics.ListAPIView[ApiKey]):
    serializer_class = KeySerializer

    def get_queryset(self) -> QuerySet[ApiKey]:
        return own_keys(self.request)

    @extend_schema(
        request=NewKeySerializer, responses={201: SecretKeySerializer}, examples=[MAKE_KEY]
    )
    def post(self, request: Request) -> Response:
        """Make a key; `secret` is in this answer and nowhere else.

        Made by a key with `ip_ranges` or an expiry, it has the same ones, or narrower ones.
        """
        asked = NewKeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = reach.of(own_key(request, caller_of(request).api_key_id)) | asked.validated_data
        must_reach(request, wanted)
        organisation = Organisation.objects.get(pk=caller_of(request).organisation_id)
        try:
            key, secret = flows.create_key(organisation, maker(request), **wanted)
        except ValueError as error:
            raise exceptions.ValidationError({"detail": str(error)}) from None
        return with_secret(key, secret)


class KeyView(APIView):
    @extend_schema(responses=KeySerializer)
    def get(self, request: Request, key_id: str) -> Response:
        return Response(KeySerializer(own_key(request, key_id)).data)

    @extend_schema(request=KeyFieldsSerializer, responses=KeySerializer, examples=[CHANGE_KEY])
    def patch(self, request: Request, key_id: str) -> Response:
        """Change what is named; it holds for new requests within two seconds."""
        key = own_key(request, key_id)
        asked = KeyFieldsSerializer(data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        must_reach(request, asked.validated_data)
        try:
            changed = flows.change_key(key, **asked.validated_data)
        except ValueError as error:
            raise exceptions.ValidationError({"detail": str(error)}) from None
        return Response(KeySerializer(changed).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key; streams that use it end within two seconds."""
        flows.revoke_key(own_key(request, key_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class KeyRotationView(APIView):
    @extend_schema(request=None, responses={201: SecretKeySerializer})
    def post(self, request: Request, key_id: str) -> Response:
        """Make a successor with the same rights; the old key works for another 24 hours."""
        old = own_key(request, key_id)
        must_reach(request, {name: getattr(old, name) for name in reach.LIMITS})
        try:
            key, secret = flows.rotate_key(old, maker(request))
        except ValueError as error:
            raise exceptions.ValidationError({"detail": str(error)}) from None
        return with_secret(key, secret)


def caller_of(request: Request) -> Caller:
    return cast("Caller", request.auth)


def own_members(request: Request) -> QuerySet[Membership]:
    members = Membership.objects.filter(organisation_id=caller_of(request).organisation_id)
    return members.select_related("user")


def open_invitations(request: Request) -> QuerySet[Invitation]:
    own = Invitation.objects.filter(organisation_id=caller_of(request).organisation_id)
    return own.filter(accepted_at=None)


def own_keys(request: Request) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(organisation_id=caller_of(request).organisation_id)


def must_reach(request: Request, wanted: Mapping[str, Any]) -> None:
    """Refuse by its name what goes beyond the reach of the key that asks."""
    try:
        reach.check(own_key(request, caller_of(request).api_key_id), wanted)
    except reach.BeyondReach as refusal:
        raise exceptions.ValidationError({refusal.field: str(refusal)}) from None


def own_key(request: Request, key_id: str | UUID | None) -> ApiKey:
    key: ApiKey = generics.get_object_or_404(own_keys(request), pk=key_id)
    return key


def maker(request: Request) -> User | None:
    """Who stands behind a key made by a key: the person who made that one, while they exist."""
    user_id = caller_of(request).user_id
    return User.objects.filter(pk=user_id).first() if user_id is not None else None


def with_secret(key: ApiKey, secret: str) -> Response:
    answer = {**KeySerializer(key).data, "secret": secret}
    return Response(answer, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})
