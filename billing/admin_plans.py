"""The operator's console for what runs on: plans, subscriptions, organisations that pay later."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import closing, postpaid, stripe_api, stripe_billing, topups
from billing.admin_base import ReadOnlyAdmin
from billing.forms import OrganisationField
from billing.models import Account, Closing, MeterBatch, Plan, PostPaid, Subscription
from portal.lib.money import NANOS_PER_DOLLAR, format_dollars


class PlanForm(forms.ModelForm[Plan]):
    """A plan of a price that Stripe knows; what it costs is asked for there."""

    class Meta:
        model = Plan
        fields: ClassVar = ["name", "stripe_price_id", "credit_cents", "active"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        price_id = cleaned.get("stripe_price_id")
        if price_id:
            try:
                price = stripe_billing.fetch_price(price_id)
            except (stripe_api.StripeUnavailable, ValueError) as error:
                self.add_error("stripe_price_id", str(error))
                return cleaned
            self.instance.price_cents, self.instance.interval = price
        elif not self.instance.price_cents:  # a plan that is there keeps its price's amount
            return cleaned
        if cleaned.get("credit_cents", 0) < self.instance.price_cents:
            self.add_error("credit_cents", _("It must give at least as much as it costs."))
        return cleaned


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin[Plan]):
    form = PlanForm
    list_display = ["name", "price", "interval", "credit", "active"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # subscriptions name it; it can be no longer offered

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> list[str]:
        return ["stripe_price_id"] if obj else []

    @admin.display(description=gettext_lazy("price"))
    def price(self, plan: Plan) -> str:
        return format_dollars(plan.price_nanos)

    @admin.display(description=gettext_lazy("credit"))
    def credit(self, plan: Plan) -> str:
        return format_dollars(plan.credit_nanos)


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = [
        "subscription_id", "organisation", "plan", "status", "cancels", "period_ends_at",
    ]  # fmt: skip
    list_filter = ["status", "plan"]
    search_fields = ["subscription_id", "organisation__name", "organisation__id"]
    list_select_related = ["organisation", "plan"]


@admin.register(MeterBatch)
class MeterBatchAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "id", "post_paid", "amount", "attempted_at", "sent_at", "error"]
    list_filter = [("sent_at", admin.EmptyFieldListFilter)]
    search_fields = ["id", "post_paid__organisation__name", "post_paid__organisation__id"]

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, batch: MeterBatch) -> str:
        return format_dollars(batch.amount_nanos)


@admin.register(PostPaid)
class PostPaidAdmin(ReadOnlyAdmin):
    list_display = ["organisation", "active", "line", "owed", "subscription_id", "set_by", "since"]
    list_filter = ["active"]
    search_fields = ["organisation__name", "organisation__id", "subscription_id"]
    list_select_related = ["organisation__account"]

    @admin.display(description=gettext_lazy("credit line"))
    def line(self, post_paid: PostPaid) -> str:
        account: Account = post_paid.organisation.account
        return format_dollars(account.credit_line_nanos)

    @admin.display(description=gettext_lazy("owed"))
    def owed(self, post_paid: PostPaid) -> str:
        return format_dollars(postpaid.owed_nanos(post_paid.pk))


@admin.register(Closing)
class ClosingAdmin(ReadOnlyAdmin):
    """Organisations that are deleted, or wait to be: for a request, a debt, a refund."""

    list_display = ["organisation", "requested_by", "created_at", "finished_at", "left", "given_up"]
    list_filter = [("finished_at", admin.EmptyFieldListFilter)]
    search_fields = ["organisation__id", "requested_by"]
    list_select_related = ["organisation__account"]
    actions = ["try_again", "give_up"]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_closing")

    @admin.action(
        description=gettext_lazy("Retry refunds that Stripe refused"),
        permissions=["decide"],
    )
    def try_again(self, request: HttpRequest, closings: QuerySet[Closing]) -> None:
        self._decide(request, closings, closing.try_again)

    @admin.action(
        description=gettext_lazy("Give up refunds that Stripe refused"),
        permissions=["decide"],
    )
    def give_up(self, request: HttpRequest, closings: QuerySet[Closing]) -> None:
        self._decide(request, closings, partial(closing.give_up, by=str(request.user)))

    def _decide(
        self, request: HttpRequest, closings: QuerySet[Closing], verb: Callable[[Closing], bool]
    ) -> None:
        for each in closings:
            try:
                done, reason = verb(each), ""
            except (stripe_api.StripeUnavailable, topups.NotYet) as error:
                done, reason = False, str(error)
            if done:
                text, level = _("%(organisation)s is settled."), messages.SUCCESS
            else:
                text, level = _("%(organisation)s is still waiting. %(reason)s"), messages.ERROR
            text %= {"organisation": each.pk, "reason": reason}
            self.message_user(request, text.strip(), level)

    @admin.display(description=gettext_lazy("left"))
    def left(self, row: Closing) -> str:
        account: Account = row.organisation.account
        return format_dollars(account.credits_posted - account.debits_posted)

    @admin.display(description=gettext_lazy("given up"))
    def given_up(self, row: Closing) -> str:
        return format_dollars(row.given_up_nanos)


class CreditLineForm(forms.Form):
    """How much an organisation may owe; 0: it pays in advance."""

    organisation = OrganisationField()
    line = forms.IntegerField(
        label=gettext_lazy("Credit line in US dollars; 0: it pays in advance"),
        min_value=0, max_value=1_000_000,
    )  # fmt: skip


def set_credit_line(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Let an organisation pay later, up to a line, or in advance again."""
    initial = {"organisation": request.GET.get("organisation", "")}
    form = CreditLineForm(request.POST or None, initial=initial)
    if form.is_valid() and _set(request, form):
        messages.success(request, _("The credit line has been changed."))
        return redirect("admin:billing_postpaid_changelist")
    shown = {**context, "form": form, "title": _("Credit line")}
    return render(request, "admin/billing/credit_line.html", shown)


def _set(request: HttpRequest, form: CreditLineForm) -> bool:
    organisation, dollars = form.cleaned_data["organisation"], form.cleaned_data["line"]
    if not dollars:
        postpaid.turn_off(organisation)
        return True
    if not stripe_api.enabled():
        form.add_error(None, _("Payments are not set up here."))
        return False
    try:
        postpaid.turn_on(organisation, dollars * NANOS_PER_DOLLAR, str(request.user))
    except ValueError:
        form.add_error("line", _("More than this is owed or held already."))
        return False
    return True
