"""The billing page: balance, what is held, top-up, the ledger and its CSV."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.models import ApiKey, Organisation, Role
from accounts.permissions import member_required
from billing import (
    alert_settings,
    alerts,
    autotopup,
    refunds,
    refusals,
    spending,
    statements,
    stripe_api,
    subscriptions,
    topups,
)
from billing.forms import AlertsForm, AutoTopUpForm, CapForm, FormToken, TopUpForm
from billing.models import (
    Account,
    AutoTopUp,
    AutoTopUpState,
    Hold,
    HoldState,
    Plan,
    RefundState,
    StripeCustomer,
    TopUp,
    TopUpState,
)
from billing.notices import PAYERS
from portal.lib.money import NANOS_PER_CENT, format_dollars
from portal.lib.posts import posted_from

LINES_PER_PAGE = 50
PAYMENTS_SHOWN = 10
HOLDS_SHOWN = 20


@member_required(*PAYERS, Role.DEVELOPER)
@require_GET
def billing(request: HttpRequest) -> HttpResponseBase:
    return render(request, "billing/billing.html", page(request, TopUpForm()))


@member_required(*PAYERS)
@posted_from("billing")
def top_up(request: HttpRequest) -> HttpResponseBase:
    """Lead to Stripe's payment page; a form sent twice leads to the same one, or to its end."""
    form = TopUpForm(request.POST)
    if not stripe_api.enabled():
        messages.error(request, _("Payments are not set up here; ask the operator for credit."))
        return redirect("billing")
    if not form.is_valid():
        return render(request, "billing/billing.html", page(request, form), status=400)
    try:
        top_up = topups.begin(
            request.organisation,  # type: ignore[attr-defined]
            form.amount_cents,
            form.cleaned_data["form_token"],
            request.user.email,  # type: ignore[union-attr]
        )
    except ValueError as error:
        form.add_error("amount", str(error))
        return render(request, "billing/billing.html", page(request, form), status=400)
    except stripe_api.StripeUnavailable as error:
        refusals.tell(request, error, _("Stripe is not responding. Nothing was charged."))
        return redirect("billing")
    if top_up.state != TopUpState.CREATED:  # sent again by who went back: Stripe's page is over
        return redirect(f"{reverse('billing')}?top_up={top_up.pk}")
    return redirect(top_up.checkout_url)


@member_required(*PAYERS)
@require_POST
def refund(request: HttpRequest, top_up_id: str) -> HttpResponseBase:
    """Send the unused part of a payment back to its card."""
    organisation = request.organisation  # type: ignore[attr-defined]
    top_up = get_object_or_404(TopUp, pk=top_up_id, organisation=organisation)
    form = FormToken(request.POST)
    if not form.is_valid():
        return HttpResponseBadRequest()
    auto = AutoTopUp.objects.filter(pk=organisation.pk).exclude(state=AutoTopUpState.OFF)
    was_on = auto.exists()
    try:
        token, by = form.cleaned_data["form_token"], request.user.email  # type: ignore[union-attr]
        asked = refunds.ask(top_up, token, by)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("billing")
    if asked.state == RefundState.FAILED:
        messages.error(request, _("Stripe refused the refund; your credit is back."))
    else:
        amount = format_dollars(asked.amount_nanos, places=2)
        messages.success(
            request, _("%(amount)s will be returned to your card.") % {"amount": amount}
        )
    if was_on and not auto.exists():
        messages.info(request, _("Automatic top-up is off."))
    return redirect("billing")


@member_required(*PAYERS)
@posted_from("billing")
def set_cap(request: HttpRequest) -> HttpResponseBase:
    form = CapForm(request.POST)
    if not form.is_valid():
        refused = {**page(request, TopUpForm()), "cap_form": form}
        return render(request, "billing/billing.html", refused, status=400)
    spending.set_monthly_cap(
        request.organisation,  # type: ignore[attr-defined]
        form.cleaned_data["monthly_cap"],
    )
    messages.success(
        request, _("The monthly cap has been changed; it applies from the next request.")
    )
    return redirect("billing")


@member_required(*PAYERS)
@never_cache
@posted_from("billing")
def set_alerts(request: HttpRequest) -> HttpResponseBase:
    """A secret that this makes is shown in this answer, and nowhere else."""
    form = AlertsForm(request.POST)
    if not form.is_valid():
        refused = {**page(request, TopUpForm()), "alerts_form": form}
        return render(request, "billing/billing.html", refused, status=400)
    organisation = request.organisation  # type: ignore[attr-defined]
    return _alerts_changed(request, alert_settings.change(organisation, **form.cleaned_data))


@member_required(*PAYERS)
@never_cache
@posted_from("billing")
def new_alerts_secret(request: HttpRequest) -> HttpResponseBase:
    organisation = request.organisation  # type: ignore[attr-defined]
    replaces = request.POST.get("replaces", "")
    try:
        return _alerts_changed(request, alert_settings.new_secret(organisation, replaces=replaces))
    except ValueError as error:  # its page was loaded again
        messages.warning(request, str(error))
        return redirect("billing")


def _alerts_changed(request: HttpRequest, secret: str | None) -> HttpResponseBase:
    if secret is None:
        messages.success(request, _("The alerts have been changed."))
        return redirect("billing")
    shown = {**page(request, TopUpForm()), "webhook_secret": secret}
    return render(request, "billing/billing.html", shown)


@member_required(*PAYERS)
@require_GET
def ledger_csv(request: HttpRequest) -> HttpResponseBase:
    answer = HttpResponse(statements.csv_lines(account_of(request)), content_type="text/csv")
    answer["Content-Disposition"] = 'attachment; filename="ledger.csv"'
    return answer


def page(
    request: HttpRequest, form: TopUpForm, auto_form: AutoTopUpForm | None = None
) -> dict[str, Any]:
    account = account_of(request)
    organisation = request.organisation  # type: ignore[attr-defined]
    auto = AutoTopUp.objects.filter(organisation=organisation).first()
    newest = request.GET.get("newest", "").replace("\0", "")
    found = statements.lines(account, newest)
    lines = Paginator(found, LINES_PER_PAGE).get_page(request.GET.get("page"))
    lines.object_list = list(lines.object_list)
    statements.balance(account, lines.object_list)
    statements.explain(lines.object_list)
    standing = spending.standing(organisation.pk)
    return {
        "account": account,
        "posted_nanos": account.credits_posted - account.debits_posted,
        **_holds(account),
        "spending": standing,
        "cap_form": CapForm(initial={"monthly_cap": standing.monthly_cap_nanos}),
        **_alerts(organisation),
        "page_obj": lines,
        "newest": newest or _begins_with(lines),
        "form": form,
        "auto": auto,
        "auto_charged_nanos": autotopup.charged_cents(auto) * NANOS_PER_CENT if auto else 0,
        "auto_form": auto_form or AutoTopUpForm(initial=autotopup.dollars(auto)),
        "customer": StripeCustomer.objects.filter(organisation=organisation).first(),
        "presets": [
            {"value": f"{cents / 100:.2f}", "nanos": cents * NANOS_PER_CENT}
            for cents in settings.TOP_UP_CENTS
        ],
        "payments": refunds.payments(organisation, most=PAYMENTS_SHOWN),
        "subscriptions": subscriptions.live(organisation.pk),
        "plans": Plan.objects.filter(active=True).order_by("price_cents"),
        "owed_nanos": max(0, account.debits_posted - account.credits_posted),
        "refund_days": settings.REFUND_DAYS,
        "button_token": topups.new_form_token(),
        "may_pay": request.membership.role in PAYERS,  # type: ignore[attr-defined]
        "top_up": TopUp.objects.filter(
            organisation=account.organisation, pk=request.GET.get("top_up", "").replace("\0", "")
        ).first(),
    }


def _begins_with(lines: Page[Any]) -> str:
    """The reference of the first line of all; a later page alone does not know it."""
    return lines.object_list[0].reference if lines.number == 1 and lines.object_list else ""


def _holds(account: Account) -> dict[str, Any]:
    """What is held, by which request of which key; the largest first."""
    open_now = Hold.objects.filter(account=account, state=HoldState.OPEN)
    shown = list(open_now.order_by("-amount_nanos", "request_id")[:HOLDS_SHOWN])
    keys = ApiKey.objects.filter(
        organisation_id=account.organisation_id,
        pk__in=[hold.api_key_id for hold in shown if hold.api_key_id],
    )
    names: dict[UUID | None, str] = dict(keys.values_list("pk", "name"))
    return {
        "holds": [(hold, names.get(hold.api_key_id)) for hold in shown],
        "num_more_holds": max(0, open_now.count() - len(shown)),
    }


def _alerts(organisation: Organisation) -> dict[str, Any]:
    wanted = alert_settings.read(organisation)
    latest = organisation.alerts.select_related("post").order_by("-created_at")[:5]
    return {
        "wanted": wanted,
        "secret_mark": alert_settings.mark_of(wanted),
        "alerts_form": AlertsForm(
            initial={
                "percentages": ", ".join(str(each) for each in wanted.percentages),
                "low_balance_nanos": wanted.low_balance_nanos,
                "by_mail": wanted.by_mail,
                "webhook_url": wanted.webhook_url,
            }
        ),
        "alerts": [(alert, alerts.sentence(alert)) for alert in latest],
    }


def account_of(request: HttpRequest) -> Account:
    return Account.objects.get(organisation=request.organisation)  # type: ignore[attr-defined]
