"""Plans with included credit: subscribing, what Stripe says of a subscription, and its end.

Guarantees: an organisation has one page at a time on which it may subscribe (its row's key), and
none while it has a subscription: who asks for another plan ends the page that is open first.

A subscription's row is what Stripe said last; credit comes from paid invoices alone
(`billing.invoices`), so a row that is late costs nobody anything.
"""

from contextlib import suppress

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import Organisation
from billing import customers, ledger_payments, stripe_api, stripe_billing, topups
from billing.models import Plan, PostPaid, StripeCustomer, Subscription, SubscriptionPage
from billing.plan_models import ENDED, OVER, new_page_key
from billing.stripe_billing import StripeSubscription
from billing.stripe_objects import CheckoutSession


def live(organisation_id: str) -> list[Subscription]:
    rows = Subscription.objects.filter(organisation_id=organisation_id).select_related("plan")
    return [each for each in rows.order_by("subscription_id") if each.is_live]


def begin(organisation: Organisation, plan: Plan) -> str:
    """The address of Stripe's page, the same for all tabs.

    Raises ValueError, to be shown, when there is a subscription; StripeUnavailable.
    """
    for _again in range(5):  # others may ask for another plan meanwhile
        if live(organisation.pk):
            raise ValueError(_("There is a subscription already."))
        page, _created = SubscriptionPage.objects.get_or_create(
            organisation=organisation, defaults={"plan": plan}
        )
        session = _session(page)
        if session.status == "open" and page.plan_id == plan.pk:
            return session.url
        _end(session)
        SubscriptionPage.objects.filter(pk=page.pk, key=page.key).update(
            plan=plan, key=new_page_key(), checkout_session_id="", created_at=timezone.now()
        )
    raise ValueError(_("A subscription is being started in another tab; please try again."))


def end_page(organisation: Organisation) -> None:
    """Nobody subscribes on it any more; who has just done is heard of. Raises StripeUnavailable."""
    page = SubscriptionPage.objects.filter(organisation=organisation).first()
    if page is not None:
        with suppress(stripe_api.RequestRefused):  # nor does Stripe know its plan: nobody pays
            _end(_session(page))


def _session(page: SubscriptionPage) -> CheckoutSession:
    """The page as Stripe knows it, made when there is none."""
    if page.checkout_session_id:
        with suppress(stripe_api.RequestRefused):  # it is of another account, or of test keys
            return stripe_api.fetch_checkout(page.checkout_session_id)
    made = customers.with_customer(
        page.organisation,
        lambda customer_id: stripe_billing.create_subscribe_page(
            page.plan, customer_id, f"subscribe:{page.key}:{customer_id}"
        ),
    )
    SubscriptionPage.objects.filter(pk=page.pk, key=page.key).update(
        checkout_session_id=made.session_id
    )
    return stripe_api.fetch_checkout(made.session_id)  # a repeated answer is an old one


def _end(session: CheckoutSession) -> None:
    """Its subscription, if there is one, has its row afterwards."""
    if session.status == "open":
        stripe_api.end_checkout(session.session_id)
        session = stripe_api.fetch_checkout(session.session_id)
    if session.subscription_id:
        hear(session.subscription_id)


def end_with_period(subscription: Subscription, *, ends: bool) -> None:
    """A member's wish, which the audit log keeps. Raises StripeUnavailable."""
    stripe_billing.end_with_period(subscription.pk, ends=ends)
    if ends != subscription.cancels:
        changed = {"subscription.cancels": (subscription.cancels, ends)}
        audit.note(subscription.organisation, changed)
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
    if plan is None and known is not None:
        # An operator gave it another price at Stripe: its end counts all the same.
        plan = known.plan
    customer = StripeCustomer.objects.filter(customer_id=told.customer_id).first()
    if plan is None or (customer is None and known is None):
        return True  # another business's of the same Stripe account
    values = {
        "plan": plan, "status": told.status, "cancels": told.cancels,
        "period_ends_at": told.period_ends_at,
    }  # fmt: skip
    if known is None:
        assert customer is not None
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
