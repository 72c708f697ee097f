"""The operator's console for people: users, organisations, keys, the outbox of mail, sign-ins."""

from collections.abc import Mapping, Sequence
from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, urlize
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import admin_members, admin_sign_in, flows, mail, visits  # noqa: F401  registered
from accounts.admin_base import DiscreetAdmin, is_superuser, may_touch
from accounts.forms import VisitForm
from accounts.models import ApiKey, Membership, Organisation, OutgoingMail, User
from portal.lib.money import format_dollars

# The console's own sign-in page knows neither rate limits nor a second factor.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

SEES_PEOPLE = "accounts.view_user"

HELP = {
    "multiplier_bp": gettext_lazy(
        "What it pays of the list price, in ten-thousandths: 10000 is all of it, 5000 half, "
        "0 nothing."
    ),
    "suspended_at": gettext_lazy(
        "While a time stands here, its keys and its playground are refused. Two actions of the "
        "list change it; a dispute suspends, too."
    ),
}


@admin.register(User)
class UserAdmin(DiscreetAdmin):
    list_display = ["email", "name", "is_active", "is_staff", "last_login", "date_joined"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "name"]
    fields = ["email", "name", "time_zone", "is_active", "is_staff", "is_superuser", "groups"]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Who may change people makes nobody an operator: they would give themselves the rest."""
        return [] if is_superuser(request) else ["is_staff", "is_superuser", "groups"]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Not of operators, for the same reason: an address is a way to its owner's password."""
        return super().has_change_permission(request, obj) and may_touch(obj, request)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and may_touch(obj, request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # people sign up, or are made by `issuekey`

    def save_model(
        self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool
    ) -> None:
        """What the form changed. Another address takes the place of all that they had.

        Whoever reads the mailbox that was lost would have a new password sent there.
        """
        obj.email = obj.email.lower()  # as at sign-up
        obj.save(update_fields=set(form.changed_data) - {"groups"})  # which are rows of their own
        if "email" in form.changed_data:
            EmailAddress.objects.filter(user=obj).delete()
            EmailAddress.objects.create(user=obj, email=obj.email, primary=True)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """What Django asks before it deletes one or several; the last of it forbids that."""
        listed, counts, lacking, kept = super().get_deleted_objects(objs, request)
        going = Membership.objects.filter(user__in=[user.pk for user in objs])
        return listed, counts, lacking, [*kept, *admin_members.complaints(going)]


def columns_for(request: HttpRequest, names: Sequence[Any], needed: Mapping[str, str]) -> list[Any]:
    """Those of a list that the operator may see, or search: it would tell who is where."""
    return [name for name in names if name not in needed or request.user.has_perm(needed[name])]


@admin.register(Organisation)
class OrganisationAdmin(admin.ModelAdmin[Organisation]):
    list_display = [
        "name",
        "balance",
        "visit_link",
        "suspended_at",
        "multiplier_bp",
        "id",
        "created_at",
    ]
    list_filter = [("suspended_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "id", "members__email"]
    fields = ["name", "multiplier_bp", "suspended_at"]
    # Its two actions change it: a form would write back what it was when it was opened.
    readonly_fields = ["suspended_at"]
    actions = ["suspend", "resume"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organisation]:
        return super().get_queryset(request).select_related("account")

    def get_list_display(self, request: HttpRequest) -> Any:
        needed = {"balance": "billing.view_account", "visit_link": visits.PERMISSION}
        return columns_for(request, self.list_display, needed)

    def get_search_fields(self, request: HttpRequest) -> Any:
        return columns_for(request, self.search_fields, {"members__email": SEES_PEOPLE})

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **more: Any
    ) -> Any:
        return super().get_form(request, obj, change, help_texts=HELP, **more)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # it begins with an owner and an account: at sign-up, or by `issuekey`

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # its ledger stays

    def save_model(
        self, request: HttpRequest, obj: Organisation, form: ModelForm[Organisation], change: bool
    ) -> None:
        """What the form changed, and nothing that somebody else changes meanwhile."""
        obj.save(update_fields=form.changed_data)

    @admin.display(description=gettext_lazy("balance"))
    def balance(self, organisation: Any) -> str:
        account = getattr(organisation, "account", None)
        return format_dollars(account.balance_nanos) if account else "–"

    def get_urls(self) -> list[URLPattern]:
        visit = self.admin_site.admin_view(self.visit)
        return [
            path("<slug:organisation_id>/visit/", visit, name="accounts_visit"),
            *super().get_urls(),
        ]

    @admin.display(description=gettext_lazy("visit"))
    def visit_link(self, organisation: Any) -> str:
        address = reverse("admin:accounts_visit", args=[organisation.pk])
        return format_html('<a href="{}">{}</a>', address, _("Sign in as"))

    def visit(self, request: HttpRequest, organisation_id: str) -> HttpResponse:
        """Begin a visit, with its reason (`accounts.visits`)."""
        if not visits.may_visit(request):
            raise PermissionDenied
        organisation = get_object_or_404(Organisation, pk=organisation_id)
        form = VisitForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            visits.begin(request, organisation, form.cleaned_data["reason"])
            return redirect("overview")
        context = {
            **self.admin_site.each_context(request),
            "form": form,
            "organisation": organisation,
            "title": _("Sign in as %(name)s") % {"name": organisation.name},
        }
        return render(request, "admin/accounts/visit.html", context)

    @admin.action(
        description=gettext_lazy("Suspend: keys stop working within two seconds"),
        permissions=["change"],
    )
    def suspend(self, request: HttpRequest, organisations: QuerySet[Organisation]) -> None:
        # Of one that a dispute brought, too: the operator's outlives it.
        number = sum(flows.suspend(organisation, anew=True) for organisation in organisations)
        self.message_user(request, _("Suspended: %(number)s") % {"number": number})

    @admin.action(description=gettext_lazy("Resume"), permissions=["change"])
    def resume(self, request: HttpRequest, organisations: QuerySet[Organisation]) -> None:
        number = sum(flows.resume(organisation) for organisation in organisations)
        self.message_user(request, _("Resumed: %(number)s") % {"number": number})


@admin.register(ApiKey)
class ApiKeyAdmin(DiscreetAdmin):
    list_display = [
        "name", "organisation", "prefix", "last_four", "scope", "created_at", "last_used_at",
        "expires_at", "revoked_at",
    ]  # fmt: skip
    list_filter = ["scope", ("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "last_four", "organisation__name", "organisation__id"]
    list_select_related = ["organisation"]
    actions = ["revoke"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a secret is shown to its owner only

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @admin.action(description=gettext_lazy("Revoke"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        number = sum(flows.revoke_key(key) for key in keys)
        self.message_user(request, _("Revoked: %(number)s") % {"number": number})


@admin.register(OutgoingMail)
class OutgoingMailAdmin(DiscreetAdmin):
    """The outbox: without a mail server, the place where links are found."""

    list_display = ["created_at", "subject", "to", "sent_at", "attempts", "error"]
    list_filter = [("sent_at", admin.EmptyFieldListFilter)]
    search_fields = ["subject", "recipients"]
    readonly_fields = (
        "created_at", "sent_at", "subject", "sender", "to", "body", "attempts", "error",
    )  # fmt: skip
    date_hierarchy = "created_at"
    actions = ["try_again"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: OutgoingMail | None = None) -> Any:
        """A link lets its reader in as the recipient: nobody reads those of an operator."""
        hidden = obj is not None and to_an_operator(obj) and not is_superuser(request)
        return [each for each in self.readonly_fields if not (hidden and each == "body")]

    @admin.action(description=gettext_lazy("Try again"), permissions=["change"])
    def try_again(self, request: HttpRequest, mails: QuerySet[OutgoingMail]) -> None:
        number = mail.try_again(mails)
        self.message_user(request, _("Waiting to be sent: %(number)s") % {"number": number})

    @admin.display(description=gettext_lazy("to"))
    def to(self, each: OutgoingMail) -> str:
        return ", ".join(each.recipients)

    @admin.display(description=gettext_lazy("text"))
    def body(self, each: OutgoingMail) -> str:
        # urlize escapes everything that is not a link of its own making.
        linked = mark_safe(urlize(each.text, nofollow=True, autoescape=True))  # noqa: S308
        return format_html('<div class="readonly mail-text">{}</div>', linked)


def to_an_operator(sent: OutgoingMail) -> bool:
    operators = User.objects.filter(Q(is_staff=True) | Q(is_superuser=True))
    theirs = operators.values_list("email", "emailaddress__email")
    known = {address.lower() for each in theirs for address in each if address}
    return any(recipient.lower() in known for recipient in sent.recipients)
