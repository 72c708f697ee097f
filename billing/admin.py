"""The operator's console for money: prices, grants, deliveries, and the ledger to read."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.decorators import permission_required
from django.db.models import DateTimeField, Model, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import SEES_PEOPLE, columns_for
from billing import admin_plans, autotopup, ledger, pricing, tiers, webhooks
from billing.admin_base import ReadOnlyAdmin
from billing.admin_reconciliation import ReconciliationAdmin
from billing.audit import audit
from billing.forms import GrantForm, PriceForm, TierForm
from billing.models import (
    Account,
    AccountKind,
    AutoTopUp,
    Dispute,
    Hold,
    Price,
    Refund,
    StripeCustomer,
    TierOverride,
    TopUp,
    Transfer,
    UsageRecord,
    WebhookDelivery,
)
from portal.lib.money import NANOS_PER_CENT, format_dollars

# Django looks for the console's pages here.
__all__ = ["ReconciliationAdmin"]

MOVES_MONEY = "billing.change_account"


@admin.register(Price)
class PriceAdmin(admin.ModelAdmin[Price]):
    """Prices are added, never edited: a later date succeeds an earlier one."""

    form = PriceForm
    # One box with a label: the console's two have none that a screen reader would find.
    formfield_overrides: ClassVar = {
        DateTimeField: {"form_class": forms.DateTimeField, "widget": forms.DateTimeInput}
    }
    list_display = ["model", "per_million", "cached", "output", "flex", "effective_from"]
    list_filter = ["model"]
    date_hierarchy = "effective_from"

    def get_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        return self.list_display if obj else super().get_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        return self.list_display if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """From the list of a model's prices the form begins with that model."""
        listed = QueryDict(request.GET.get("_changelist_filters", ""))
        filled = super().get_changeform_initial_data(request)
        return {"model": listed["model"], **filled} if "model" in listed else filled

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        """A price of a name that no model has changes nothing, and cannot be taken away."""
        is_first = not Price.objects.filter(model=obj.model).exists()
        super().save_model(request, obj, form, change)
        if is_first:
            said = _(
                "“%(model)s” had no price before. A price applies to the model of exactly this "
                "name: check the list of models."
            )
            self.message_user(request, said % {"model": obj.model}, messages.WARNING)

    @admin.display(description=gettext_lazy("input / M tokens"))
    def per_million(self, price: Price) -> str:
        return format_dollars(price.input_nanos_per_mtok)

    @admin.display(description=gettext_lazy("cached / M tokens"))
    def cached(self, price: Price) -> str:
        return format_dollars(price.cached_input_nanos_per_mtok)

    @admin.display(description=gettext_lazy("output / M tokens"))
    def output(self, price: Price) -> str:
        return format_dollars(price.output_nanos_per_mtok)

    @admin.display(description=gettext_lazy("flex tier"))
    def flex(self, price: Price) -> str:
        return f"{pricing.sheet(price).flex_percent or 100} %"


class AccountList(ChangeList):
    """Reads the tiers of all rows of a page together."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: Any = self.result_list
        standings = tiers.standings([account.organisation_id for account in rows])
        for account in rows:
            account.standing = standings[account.organisation_id]


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ["organisation", "available", "posted", "pending", "tier", "grant_link"]
    search_fields = ["organisation__name", "organisation__id", "organisation__members__email"]
    list_select_related = ["organisation"]
    change_list_template = "admin/billing/account/change_list.html"

    def get_changelist(self, request: HttpRequest, **more: Any) -> type[ChangeList]:
        return AccountList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        return super().get_queryset(request).filter(kind=AccountKind.ORGANISATION)

    def get_list_display(self, request: HttpRequest) -> Any:
        return columns_for(request, self.list_display, {"grant_link": MOVES_MONEY})

    def get_search_fields(self, request: HttpRequest) -> Any:
        needed = {"organisation__members__email": SEES_PEOPLE}
        return columns_for(request, self.search_fields, needed)

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("grant/", self.admin_site.admin_view(self.grant), name="billing_grant"),
            path(
                "credit-line/",
                self.admin_site.admin_view(self.credit_line),
                name="billing_credit_line",
            ),
            path("audit/", self.admin_site.admin_view(self.audit), name="billing_audit"),
        ]
        return own + super().get_urls()

    @admin.display(description=gettext_lazy("available"))
    def available(self, account: Account) -> str:
        return format_dollars(account.available_nanos)

    @admin.display(description=gettext_lazy("posted"))
    def posted(self, account: Account) -> str:
        return format_dollars(account.credits_posted - account.debits_posted)

    @admin.display(description=gettext_lazy("held"))
    def pending(self, account: Account) -> str:
        return format_dollars(account.debits_pending)

    @admin.display(description=gettext_lazy("tier"))
    def tier(self, account: Any) -> str:
        chosen = " " + _("(chosen)") if account.standing.overridden else ""
        return f"{account.standing.tier.name}{chosen}"

    @admin.display(description=gettext_lazy("grant"))
    def grant_link(self, account: Account) -> str:
        address = f"{reverse('admin:billing_grant')}?organisation={account.organisation_id}"
        line = f"{reverse('admin:billing_credit_line')}?organisation={account.organisation_id}"
        return format_html(
            '<a href="{}">{}</a> · <a href="{}">{}</a>',
            address, _("Grant credit"), line, _("Credit line"),
        )  # fmt: skip

    @method_decorator(permission_required(MOVES_MONEY, raise_exception=True))
    def credit_line(self, request: HttpRequest) -> HttpResponse:
        return admin_plans.set_credit_line(request, self.admin_site.each_context(request))

    @method_decorator(permission_required(MOVES_MONEY, raise_exception=True))
    def grant(self, request: HttpRequest) -> HttpResponse:
        """Post a grant with its reason; the same form twice posts once."""
        initial = {"organisation": request.GET.get("organisation", "")}
        form = GrantForm(request.POST) if request.method == "POST" else GrantForm(initial=initial)
        if form.is_bound and form.is_valid() and _grant(request, form):
            return redirect("admin:billing_account_changelist")
        context = {
            **self.admin_site.each_context(request),
            "form": form,
            "title": _("Grant credit"),
        }
        return render(request, "admin/billing/grant.html", context)

    @method_decorator(permission_required("billing.view_account", raise_exception=True))
    def audit(self, request: HttpRequest) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "findings": audit(),
            "title": _("Ledger audit"),
        }
        return render(request, "admin/billing/audit.html", context)


def _grant(request: HttpRequest, form: GrantForm) -> bool:
    """False, with the reason in the form, when it is too much."""
    try:
        transfer = ledger.grant(
            form.cleaned_data["organisation"].pk,
            form.amount_nanos,
            reference=form.reference,
            description=form.cleaned_data["reason"],
            actor=str(request.user),
        )
    except ValueError:
        form.add_error("amount", _("The organisation would then have been granted too much."))
        return False
    text = _("Granted %(amount)s.") % {"amount": format_dollars(transfer.amount_nanos)}
    messages.success(request, text)
    return True


@admin.register(TierOverride)
class TierOverrideAdmin(admin.ModelAdmin[TierOverride]):
    """Organisations whose limits an operator has chosen; without a row, payments decide."""

    form = TierForm
    list_display = ["organisation", "tier", "reason", "created_at"]
    search_fields = ["organisation__name", "organisation__id", "reason"]
    list_select_related = ["organisation"]
    autocomplete_fields = ["organisation"]


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = [
        "created_at", "kind", "amount", "debit_account", "credit_account", "note", "actor",
    ]  # fmt: skip
    # Not by `date_hierarchy`, which reads the whole ledger for its list of months.
    list_filter = ["kind", "created_at"]
    search_fields = ["reference", "description", "actor"]
    list_select_related = ["debit_account__organisation", "credit_account__organisation"]

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, transfer: Transfer) -> str:
        return format_dollars(transfer.amount_nanos)

    @admin.display(description=gettext_lazy("description"))
    def note(self, transfer: Transfer) -> str:
        return _(transfer.description) if transfer.description else ""


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = [
        "request_id", "account__organisation", "amount", "state", "lease_until", "created_at",
    ]  # fmt: skip
    list_filter = ["state"]
    search_fields = ["request_id"]
    list_select_related = ["account__organisation"]

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, hold: Hold) -> str:
        return format_dollars(hold.amount_nanos)


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    list_display = [
        "created_at", "request_id", "organisation", "model", "outcome", "uncached_tokens",
        "cached_tokens", "output_tokens", "waived_tokens", "cost",
    ]  # fmt: skip
    list_filter = ["outcome", "face", "model"]
    search_fields = ["request_id", "organisation__name"]
    list_select_related = ["organisation"]

    @admin.display(description=gettext_lazy("cost"))
    def cost(self, record: UsageRecord) -> str:
        return format_dollars(record.cost_nanos)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    list_display = ["received_at", "event_type", "event_id", "processed_at", "attempts", "error"]
    list_filter = ["event_type", ("processed_at", admin.EmptyFieldListFilter)]
    search_fields = ["event_id", "payload"]
    actions = ["replay"]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_webhookdelivery")

    @admin.action(description=gettext_lazy("Process again"), permissions=["replay"])
    def replay(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        failed = webhooks.replay(list(deliveries.order_by("pk").values_list("pk", flat=True)))
        if failed:
            text = _("%(failed)s failed again; each row says why.") % {"failed": failed}
            self.message_user(request, text, messages.ERROR)
        else:
            self.message_user(request, _("Processed again."))


@admin.register(TopUp)
class TopUpAdmin(ReadOnlyAdmin):
    list_display = [
        "created_at", "organisation", "amount", "state", "automatic", "failure", "paid_at",
        "created_by",
    ]  # fmt: skip
    list_filter = ["state", "automatic"]
    search_fields = ["id", "organisation__name", "checkout_session_id", "payment_intent_id"]
    list_select_related = ["organisation"]

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, top_up: TopUp) -> str:
        return format_dollars(top_up.amount_nanos)


@admin.register(AutoTopUp)
class AutoTopUpAdmin(ReadOnlyAdmin):
    list_display = [
        "organisation", "state", "failures", "threshold", "amount", "charged", "ceiling",
        "next_attempt_at", "set_by",
    ]  # fmt: skip
    list_filter = ["state"]
    search_fields = ["organisation__name", "organisation__id"]
    list_select_related = ["organisation"]

    @admin.display(description=gettext_lazy("threshold"))
    def threshold(self, auto: AutoTopUp) -> str:
        return format_dollars(auto.threshold_cents * NANOS_PER_CENT)

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, auto: AutoTopUp) -> str:
        return format_dollars(auto.amount_cents * NANOS_PER_CENT)

    @admin.display(description=gettext_lazy("charged this month"))
    def charged(self, auto: AutoTopUp) -> str:
        return format_dollars(autotopup.charged_cents(auto) * NANOS_PER_CENT)

    @admin.display(description=gettext_lazy("monthly ceiling"))
    def ceiling(self, auto: AutoTopUp) -> str:
        return format_dollars(auto.ceiling_cents * NANOS_PER_CENT)


@admin.register(StripeCustomer)
class StripeCustomerAdmin(ReadOnlyAdmin):
    list_display = ["organisation", "customer_id", "card_brand", "card_last4", "card_expires"]
    search_fields = ["organisation__name", "organisation__id", "customer_id"]
    list_select_related = ["organisation"]


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "top_up", "amount", "state", "requested_by", "stripe_refund_id"]
    list_filter = ["state"]
    search_fields = ["id", "stripe_refund_id", "top_up__id", "top_up__organisation__name"]

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, refund: Refund) -> str:
        return format_dollars(refund.amount_nanos)


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "top_up", "amount", "status", "reason", "taken", "suspended_at"]
    list_filter = ["status", "taken"]
    search_fields = ["dispute_id", "top_up__id", "top_up__organisation__name"]

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, dispute: Dispute) -> str:
        return format_dollars(dispute.amount_nanos)
