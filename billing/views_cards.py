"""Saved cards: automatic top-ups, and the ways to Stripe's pages: cards, invoices, receipts."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.permissions import member_required
from billing import autotopup, customers, refusals, stripe_api
from billing.forms import AutoTopUpForm, TopUpForm
from billing.models import StripeCustomer, TopUp, TopUpState
from billing.notices import PAYERS
from billing.views import page
from portal.lib.posts import posted_from


@member_required(*PAYERS)
@posted_from("billing")
def auto_top_up(request: HttpRequest) -> HttpResponseBase:
    """Turn it on as the form says, or off."""
    organisation = request.organisation  # type: ignore[attr-defined]
    if "off" in request.POST:
        autotopup.turn_off(organisation)
        messages.success(request, _("Automatic top-up is off."))
        return redirect("billing")
    saved = StripeCustomer.objects.filter(organisation=organisation)
    if not saved.exclude(payment_method_id="").exists():
        messages.error(request, _("Save a card first."))
        return redirect("billing")
    form = AutoTopUpForm(request.POST)
    if form.is_valid():
        try:
            autotopup.turn_on(
                organisation, form.cents("threshold"), form.cents("amount"),
                form.cents("ceiling"), request.user.email,  # type: ignore[union-attr]
            )  # fmt: skip
        except ValueError:
            text = _("More was charged this month already; turn automatic top-up off instead.")
            form.add_error("ceiling", text)
    if not form.is_valid():
        context = page(request, TopUpForm(), form)
        return render(request, "billing/billing.html", context, status=400)
    messages.success(request, _("Automatic top-up is on."))
    return redirect("billing")


@member_required(*PAYERS)
@require_POST
def save_card(request: HttpRequest) -> HttpResponseBase:
    """Lead to Stripe's page that saves a card."""
    return _to_stripe(request, stripe_api.create_card_page)


@member_required(*PAYERS)
@require_POST
def stripe_portal(request: HttpRequest) -> HttpResponseBase:
    """Lead to Stripe's page with the organisation's cards and receipts."""
    return _to_stripe(request, stripe_api.portal_page)


@member_required(*PAYERS)
@require_GET
def receipt(request: HttpRequest, top_up_id: str) -> HttpResponseBase:
    """Lead to a payment's invoice or receipt at Stripe."""
    organisation = request.organisation  # type: ignore[attr-defined]
    paid = TopUp.objects.filter(state=TopUpState.PAID, organisation=organisation)
    top_up = get_object_or_404(paid, pk=top_up_id)
    try:
        address = stripe_api.receipt_page(top_up) if stripe_api.enabled() else ""
    except stripe_api.StripeUnavailable:
        address = ""
    if address:
        return redirect(address)
    messages.error(request, _("Stripe cannot show this receipt at the moment."))
    return redirect("billing")


def _to_stripe(request: HttpRequest, address_of: Callable[[str], str]) -> HttpResponseBase:
    if not stripe_api.enabled():
        messages.error(request, _("Payments are not set up here; ask the operator for credit."))
        return redirect("billing")
    try:
        organisation = request.organisation  # type: ignore[attr-defined]
        return redirect(customers.with_customer(organisation, address_of))
    except stripe_api.StripeUnavailable as error:
        refusals.tell(request, error, _("Stripe is not responding. Nothing was charged."))
        return redirect("billing")
