"""The console's pages for what people sign in by, and of what makes operators of them."""

from typing import Any, ClassVar

# These register their own pages first, which are replaced below.
import allauth.mfa.admin
import allauth.usersessions.admin  # noqa: F401
from allauth.account.admin import EmailAddressAdmin
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.admin import SocialAppAdmin
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from auditlog.admin import LogEntryAdmin
from auditlog.filters import CIDFilter, ResourceTypeFilter
from auditlog.models import LogEntry
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts.admin_base import DiscreetAdmin, is_superuser, may_touch

# The packages' own pages search columns that our users lack, show what one-time codes are made
# from, forget a session without ending it, and give whoever may change them anybody's account.
admin.site.unregister(
    [Authenticator, EmailAddress, SocialAccount, SocialApp, SocialToken, UserSession]
)
admin.site.unregister([Group, LogEntry])


class SuperusersAdmin(admin.ModelAdmin[Any]):
    """For superusers alone, whatever permissions say: it gives whoever changes it all the rest."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_superuser(request)


@admin.register(Group)
class OperatorsGroupAdmin(SuperusersAdmin, GroupAdmin):
    """Its permissions are those of its members."""


@admin.register(SocialApp)
class ProviderAdmin(SuperusersAdmin, SocialAppAdmin):  # type: ignore[misc]  # allauth has no types
    """Who says where a provider is says who it is that comes from there."""


class SignInAdmin(DiscreetAdmin):
    """What people sign in by: to be looked at, or taken away from who is no operator."""

    list_select_related = ["user"]
    exclude: ClassVar = ["data", "extra_data"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        person = None if obj is None else obj.user
        return super().has_delete_permission(request, obj) and may_touch(person, request)


@admin.register(EmailAddress)
class AddressAdmin(SignInAdmin, EmailAddressAdmin):  # type: ignore[misc]  # allauth has no types
    """Another address is given on its owner's page, where the old ones go."""

    def has_confirm_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("account.change_emailaddress")

    @admin.action(
        description=EmailAddressAdmin.make_verified.short_description, permissions=["confirm"]
    )
    def make_verified(self, request: HttpRequest, queryset: QuerySet[EmailAddress]) -> None:
        super().make_verified(request, queryset)


@admin.register(SocialAccount)
class SocialAccountAdmin(SignInAdmin):
    list_display = ["user", "provider", "uid", "last_login", "date_joined"]
    list_filter = ["provider"]
    search_fields = ["user__email", "uid"]


@admin.register(Authenticator)
class AuthenticatorAdmin(SignInAdmin):
    list_display = ["user", "type", "created_at", "last_used_at"]
    list_filter = ["type"]
    search_fields = ["user__email"]


@admin.register(UserSession)
class UserSessionAdmin(SignInAdmin):
    list_display = ["user", "created_at", "last_seen_at", "ip", "user_agent"]
    search_fields = ["user__email", "ip"]

    def delete_model(self, request: HttpRequest, obj: UserSession) -> None:
        """Sign them out there."""
        obj.end()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[UserSession]) -> None:
        for session in queryset:
            session.end()


@admin.register(LogEntry)
class ChangeAdmin(LogEntryAdmin):  # type: ignore[misc]  # auditlog has no types
    # Not by the library's `date_hierarchy`, which reads the whole log for its list of months.
    date_hierarchy = None
    list_filter: ClassVar = ["action", ResourceTypeFilter, CIDFilter, "timestamp"]
    search_fields: ClassVar = ["object_repr", "changes", "actor__email", "actor__name"]
