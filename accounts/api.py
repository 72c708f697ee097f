"""The management API of accounts: the organisation, its members and keys."""

from typing import Any, ClassVar, cast

from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import flows
from accounts.authentication import Caller
from accounts.models import ApiKey, Membership, Organisation, Scope, User


class NewestFirst(CursorPagination):
    ordering = "-created_at"


def organisation_id_of(request: Request) -> str:
    return cast(Caller, request.auth).organisation_id


class OrganisationSerializer(serializers.ModelSerializer[Organisation]):
    class Meta:
        model = Organisation
        fields: ClassVar = ["id", "name", "created_at"]
        read_only_fields: ClassVar = ["id", "created_at"]


class MemberSerializer(serializers.ModelSerializer[Membership]):
    email = serializers.EmailField(source="user.email", read_only=True)

    class Meta:
        model = Membership
        fields: ClassVar = ["id", "email", "role", "created_at"]


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    class Meta:
        model = ApiKey
        fields: ClassVar = [
            "id", "name", "scope", "prefix", "last_four", "allowed_models", "ip_ranges",
            "monthly_cap_nanos", "created_at", "expires_at", "revoked_at", "last_used_at",
        ]  # fmt: skip


class NewKeySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    scope = serializers.ChoiceField(choices=Scope.choices, default=Scope.INFERENCE)
    monthly_cap_nanos = serializers.IntegerField(min_value=0, max_value=10**18, required=False)
    expires_at = serializers.DateTimeField(required=False)


class OrganisationView(generics.RetrieveUpdateAPIView[Organisation]):
    serializer_class = OrganisationSerializer
    http_method_names: ClassVar = ["get", "patch", "head", "options"]

    def get_object(self) -> Organisation:
        return Organisation.objects.get(pk=organisation_id_of(self.request))


class MembersView(generics.ListAPIView[Membership]):
    serializer_class = MemberSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> Any:
        return Membership.objects.filter(
            organisation_id=organisation_id_of(self.request)
        ).select_related("user")


class KeysView(generics.ListAPIView[ApiKey]):
    serializer_class = KeySerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> Any:
        return ApiKey.objects.filter(organisation_id=organisation_id_of(self.request))

    @extend_schema(request=NewKeySerializer, responses={201: KeySerializer})
    def post(self, request: Request) -> Response:
        """Make a key; `secret` is in this answer and nowhere else."""
        asked = NewKeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        caller = cast(Caller, request.auth)
        organisation = Organisation.objects.get(pk=caller.organisation_id)
        maker = User.objects.filter(pk=caller.user_id).first()
        key, secret = flows.create_key(organisation, maker, **asked.validated_data)
        answer = {**KeySerializer(key).data, "secret": secret}
        return Response(answer, status=status.HTTP_201_CREATED)


class KeyView(APIView):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key; streams that use it end within two seconds."""
        key = generics.get_object_or_404(
            ApiKey, pk=key_id, organisation_id=organisation_id_of(request)
        )
        flows.revoke_key(key)
        return Response(status=status.HTTP_204_NO_CONTENT)
