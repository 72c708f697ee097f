"""Invoices of subscriptions and of usage: what was paid is credited, once an invoice.

Guarantees: one invoice is one payment (a constraint), whatever is told, in any order, how often;
the ledger's cash is what Stripe took. A plan's credit comes with the invoice that begins a period,
in proportion to what was paid of its price in money, the tax that it includes as well: what Stripe
takes from a customer's balance there, or off the invoice, after a change of plans, was paid and
credited before. Anything else that an invoice asks for credits its price. What an invoice collects
beyond its own total is what earlier ones of the customer left on that balance, each too small for a
charge, and is credited as it is. An invoice of usage settles what was told to the meter, also when
nothing was paid for it, and so does any that collects what one left.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_noop

from accounts.models import Organisation
from billing import notices, postpaid, stripe_billing, subscriptions, topups
from billing.models import (
    Plan,
    PostPaid,
    StripeCustomer,
    Subscription,
    TopUp,
    TopUpSource,
    UsageInvoice,
)
from billing.stripe_billing import StripeInvoice, StripeSubscription


@dataclass(frozen=True, slots=True)
class Parts:
    """Of an invoice, in cents: `credit` - `discount` + `tax` is what was paid.

    Of the credit, `carried` was the price of earlier ones.
    """

    credit_cents: int
    discount_cents: int
    tax_cents: int
    carried_cents: int


def hear_paid(invoice_id: str) -> None:
    """Stripe says that an invoice was paid. Raises PaymentRefused for what is none of ours."""
    invoice = stripe_billing.fetch_invoice(invoice_id)
    if invoice.status != "paid" or not invoice.subscription_id:
        return  # an invoice of a top-up is its page's
    organisation = _organisation(invoice)
    subscription = stripe_billing.fetch_subscription(invoice.subscription_id)
    plan = None if subscription.post_paid else _plan(invoice, subscription)
    if invoice.currency != "usd":
        raise topups.PaymentRefused(f"paid in {invoice.currency!r}, not in US dollars")
    parts = parts_of(invoice, plan)
    payment_id = stripe_billing.payment_of_invoice(invoice_id) if parts.credit_cents > 0 else ""
    with transaction.atomic():
        if parts.credit_cents > 0:
            _book(organisation, invoice, plan, parts, payment_id)
        if plan is None:
            own_cents = parts.credit_cents - parts.carried_cents
            postpaid.settle(organisation.pk, invoice, own_cents, parts.carried_cents)
        elif parts.carried_cents:
            postpaid.collect(organisation.pk, invoice, parts.carried_cents)


def _plan(invoice: StripeInvoice, subscription: StripeSubscription) -> Plan:
    """Of its own period: the subscription may have changed to another by now."""
    for price_id in (invoice.price_id, subscription.price_id):
        if plan := Plan.objects.filter(stripe_price_id=price_id).first():
            return plan
    raise topups.PaymentRefused(f"{subscription.price_id} is the price of no plan")


def _organisation(invoice: StripeInvoice) -> Organisation:
    """Its customer's, or its subscription's: a customer that was deleted has another's place."""
    found = (
        StripeCustomer.objects.filter(customer_id=invoice.customer_id).first()
        or Subscription.objects.filter(pk=invoice.subscription_id).first()
        or PostPaid.objects.filter(subscription_id=invoice.subscription_id).first()
    )
    if found is None:
        raise topups.PaymentRefused(f"{invoice.customer_id} is no customer of ours")
    return found.organisation


def parts_of(invoice: StripeInvoice, plan: Plan | None) -> Parts:
    """What an invoice credits; of one that Stripe's balance paid in part, that much less."""
    if invoice.subtotal_cents <= 0:  # a trial, or money on its way back: all is of earlier ones
        return Parts(invoice.paid_cents, 0, 0, invoice.paid_cents)
    own_cents = min(invoice.paid_cents, invoice.total_cents)
    own, total = (own_cents, invoice.total_cents) if invoice.total_cents else (1, 1)
    net = own_cents - invoice.tax_cents * own // total
    # The state's part of a price that includes tax is not the customer's loss.
    credit = net + (invoice.discount_cents + invoice.included_tax_cents) * own // total
    if plan is not None and invoice.begins_period:
        # What it has beyond the plan's price, or lacks of it, a change of plans left with it.
        of_plan = min(credit, plan.price_cents)
        credit += plan.credit_cents * of_plan // plan.price_cents - of_plan
    # What was carried had the same tax.
    tax = invoice.tax_cents * max(invoice.paid_cents, own) // total
    carried = invoice.paid_cents - tax - net
    return Parts(credit + carried, credit - net, tax, carried)


def _book(
    organisation: Organisation,
    invoice: StripeInvoice,
    plan: Plan | None,
    parts: Parts,
    payment_id: str,
) -> None:
    """Credit an invoice of a plan, or of usage. The caller has a transaction."""
    source = TopUpSource.POST_PAID if plan is None else TopUpSource.SUBSCRIPTION
    top_up, created = TopUp.objects.get_or_create(
        organisation=organisation,
        form_token=f"invoice:{invoice.invoice_id}",
        defaults={
            "amount_cents": parts.credit_cents,
            "source": source,
            "created_by": "Stripe",
            "invoice_id": invoice.invoice_id,
        },
    )
    if not created:
        return
    usage = gettext_noop("Invoice of usage")
    description = usage if plan is None else f"Subscription: {plan.name}"
    topups.book(
        top_up, payment_id, description, discount_cents=parts.discount_cents,
        tax_cents=parts.tax_cents, invoice_id=invoice.invoice_id,
    )  # fmt: skip


def hear_voided(invoice_id: str) -> None:
    """An operator took an invoice back: its usage is owed still, unless they give credit for it."""
    invoice = stripe_billing.fetch_invoice(invoice_id)
    if invoice.status != "void" or not invoice.subscription_id:
        return
    if stripe_billing.fetch_subscription(invoice.subscription_id).post_paid:
        postpaid.settle(_organisation(invoice).pk, invoice, 0, 0)


def hear_failed(invoice_id: str) -> None:
    """Stripe could not collect an invoice: payers are told. It tries again by its own rules."""
    invoice = stripe_billing.fetch_invoice(invoice_id)
    if invoice.status == "open" and invoice.subscription_id:
        notices.invoice_failed(_organisation(invoice), invoice.total_cents, invoice.address)


def catch_up(since: datetime, until: datetime) -> None:
    """Hear of invoices whose webhook never came, and of their subscriptions.

    Raises StripeUnavailable.
    """
    for invoice in _unheard(stripe_billing.invoices_between(since, until)):
        with suppress(topups.PaymentRefused, topups.NotYet):  # the comparison will show it
            subscriptions.hear(invoice.subscription_id)
            HEARD[invoice.status](invoice.invoice_id)


HEARD = {"paid": hear_paid, "void": hear_voided}


def _unheard(made: list[StripeInvoice]) -> list[StripeInvoice]:
    """Those of our customers that should have left a trace here, and did not."""
    customers = set(StripeCustomer.objects.values_list("customer_id", flat=True))
    ids = [each.invoice_id for each in made]
    heard = {
        *TopUp.objects.filter(invoice_id__in=ids).values_list("invoice_id", flat=True),
        *UsageInvoice.objects.filter(pk__in=ids).values_list("pk", flat=True),
    }
    return [
        each for each in made
        if each.status in HEARD and each.subscription_id
        and each.customer_id in customers and each.invoice_id not in heard
    ]  # fmt: skip
