"""Plans with included credit: subscribing, what Stripe says of a subscription, and its end.

A subscription's row is what Stripe said last; credit comes from paid invoices alone
(`billing.invoices`), so a row that is late costs nobody anything.
"""

from contextlib import suppress

from django.utils.translation import gettext as _

from accounts.models import Organisation
from billing import customers, ledger_payments, stripe_api, stripe_billing, topups
from billing.models import Plan, PostPaid, StripeCustomer, Subscription
from billing.plan_models import OVER
from billing.stripe_billing import StripeSubscription

ENDED = OVER | {"unpaid"}


def live(organisation_id: str) -> list[Subscription]:
    rows = Subscription.objects.filter(organisation_id=organisation_id).select_related("plan")
    return [each for each in rows.order_by("subscription_id") if each.is_live]


def begin(organisation: Organisation, plan: Plan, form_token: str) -> str:
    """The address of Stripe's page; a form sent twice leads to one page.

    Raises ValueError, to be shown, when there is a subscription; StripeUnavailable.
    """
    if live(organisation.pk):
        raise ValueError(_("There is a subscription already."))
    customer = customers.customer_of(organisation)
    key = f"subscribe:{organisation.pk}:{plan.pk}:{form_token}"
    return stripe_billing.subscribe_page(plan, customer.customer_id, key)


def end_with_period(subscription: Subscription, *, ends: bool) -> None:
    """Raises StripeUnavailable."""
    stripe_billing.end_with_period(subscription.pk, ends=ends)
    hear(subscription.pk)


def hear(subscription_id: str) -> None:
    """Stripe says that a subscription changed. Idempotent; order does not matter.

    Raises NotYet while others write the same row.
    """
    for _again in range(5):
        known = Subscription.objects.filter(pk=subscription_id).first()
        told = stripe_billing.fetch_subscription(subscription_id)
        if told.post_paid:
            _usage_changed(told)
            return
        if _write(known, told):
            return
    raise topups.NotYet(f"{subscription_id} changes too often just now")


def catch_up() -> None:
    """Hear of those that run here: a webhook of their end may be lost. Raises StripeUnavailable."""
    plans = Subscription.objects.exclude(status__in=OVER).values_list("pk", flat=True)
    usage = PostPaid.objects.filter(active=True, subscription_id__isnull=False)
    for subscription_id in [*plans, *usage.values_list("subscription_id", flat=True)]:
        with suppress(topups.NotYet, stripe_api.RequestRefused):
            hear(subscription_id or "")


def _write(known: Subscription | None, told: StripeSubscription) -> bool:
    """False when somebody has written since Stripe was asked: what it said may be old."""
    plan = Plan.objects.filter(stripe_price_id=told.price_id).first()
    customer = StripeCustomer.objects.filter(customer_id=told.customer_id).first()
    if customer is None or plan is None:
        return True  # another business's of the same Stripe account
    values = {
        "plan": plan, "status": told.status, "cancels": told.cancels,
        "period_ends_at": told.period_ends_at,
    }  # fmt: skip
    if known is None:
        _row, created = Subscription.objects.get_or_create(
            pk=told.subscription_id,
            defaults={**values, "organisation_id": customer.organisation_id},
        )
        return created
    rows = Subscription.objects.filter(pk=known.pk, version=known.version)
    return bool(rows.update(**values, version=known.version + 1))


def _usage_changed(told: StripeSubscription) -> None:
    """Stripe has ended it, since nobody paid, say: no more usage on credit."""
    if told.status in ENDED:
        for post_paid in PostPaid.objects.filter(subscription_id=told.subscription_id, active=True):
            PostPaid.objects.filter(pk=post_paid.pk).update(active=False)
            ledger_payments.close_credit_line(post_paid.pk)
