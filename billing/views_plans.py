"""Plans: subscribing to one on Stripe's page, and ending it with its period."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.permissions import member_required
from billing import refusals, stripe_api, subscriptions
from billing.models import Plan, Subscription
from billing.notices import PAYERS


@member_required(*PAYERS)
@require_POST
def subscribe(request: HttpRequest, plan_id: int) -> HttpResponseBase:
    """Lead to Stripe's page; sent twice, or from two tabs, it leads to the same one."""
    plan = get_object_or_404(Plan, pk=plan_id, active=True)
    organisation = request.organisation  # type: ignore[attr-defined]
    try:
        return redirect(subscriptions.begin(organisation, plan))
    except ValueError as error:
        messages.error(request, str(error))
    except stripe_api.StripeUnavailable as error:
        refusals.tell(request, error, _("Stripe is not responding. Nothing was charged."))
    return redirect("billing")


@member_required(*PAYERS)
@require_POST
def end_subscription(request: HttpRequest, subscription_id: str) -> HttpResponseBase:
    """End it when what was paid for is over; or, with `go_on`, do not."""
    organisation = request.organisation  # type: ignore[attr-defined]
    mine = Subscription.objects.filter(organisation=organisation)
    subscription = get_object_or_404(mine, pk=subscription_id)
    ends = "go_on" not in request.POST
    try:
        subscriptions.end_with_period(subscription, ends=ends)
    except stripe_api.StripeUnavailable as error:
        refusals.tell(request, error, _("Stripe is not responding. Nothing was changed."))
        return redirect("billing")
    if ends:
        messages.success(request, _("The subscription ends with its period; credit stays."))
    else:
        messages.success(request, _("The subscription continues."))
    return redirect("billing")
