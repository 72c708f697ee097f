"""The console's page for members: a list of its own, since an organisation may have hundreds."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from accounts import flows
from accounts.admin_base import DiscreetAdmin
from accounts.models import Membership, Organisation, Role


class MembershipForm(ModelForm[Membership]):
    def clean(self) -> dict[str, Any]:
        """The last owner stays one. The console saves in the same transaction."""
        cleaned: dict[str, Any] = super().clean() or {}
        if self.instance.pk and cleaned.get("role") != Role.OWNER:
            try:
                flows.keep_an_owner(self.instance)
            except ValueError as error:
                raise ValidationError(str(error)) from None
        return cleaned


@admin.register(Membership)
class MembershipAdmin(DiscreetAdmin):
    form = MembershipForm
    list_display = ["user", "organisation", "role", "created_at"]
    list_filter = ["role"]
    search_fields = ["user__email", "user__name", "organisation__name", "organisation__id"]
    list_select_related = ["user", "organisation"]
    fields = ["organisation", "user", "role"]
    autocomplete_fields = ["organisation", "user"]

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        """Another person, or another organisation, is another membership."""
        return [] if obj is None else ["organisation", "user"]

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        if change:
            flows.change_role(obj, obj.role)
        else:
            obj.save()

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        flows.remove_member(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership in queryset:
            flows.remove_member(membership)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """What Django asks before it deletes one or several; the last of it forbids that."""
        listed, counts, lacking, kept = super().get_deleted_objects(objs, request)
        going = Membership.objects.filter(pk__in=[each.pk for each in objs])
        return listed, counts, lacking, [*kept, *complaints(going)]


def complaints(going: QuerySet[Membership]) -> Iterable[str]:
    """Of each organisation that would be without an owner if these memberships went."""
    owners = Membership.objects.filter(role=Role.OWNER)
    theirs = Organisation.objects.filter(memberships__in=going.filter(role=Role.OWNER)).distinct()
    for each in theirs:
        if not owners.filter(organisation=each).exclude(pk__in=going.values("pk")).exists():
            yield f"{each}: {flows.WITHOUT_OWNER}"
