"""Agreements with Stripe that run on: plans with included credit, and usage that is paid later.

Amounts are nanos where they are the ledger's and cents where they are Stripe's. What must not
happen twice is a constraint here.
"""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from portal.lib.ids import new_id
from portal.lib.money import NANOS_PER_CENT


class Plan(models.Model):
    """What an organisation may subscribe to: a recurring price at Stripe, and credit for it.

    The credit is at least the price: a plan is paying in, with something given beside it.
    """

    name = models.CharField(max_length=80)
    stripe_price_id = models.CharField(max_length=255, unique=True)
    price_cents = models.PositiveIntegerField()
    interval = models.CharField(max_length=20)  # Stripe's: month, year
    credit_cents = models.PositiveIntegerField()
    active = models.BooleanField(default=True)  # offered to whoever has none

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(price_cents__gt=0, credit_cents__gte=F("price_cents")),
                name="plan_gives_what_it_costs",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def price_nanos(self) -> int:
        return self.price_cents * NANOS_PER_CENT

    @property
    def credit_nanos(self) -> int:
        return self.credit_cents * NANOS_PER_CENT


OVER = {"canceled", "incomplete_expired"}
ENDED = OVER | {"unpaid"}  # as to usage


class Subscription(models.Model):
    """An organisation's subscription to a plan, as Stripe told it last."""

    subscription_id = models.CharField(primary_key=True, max_length=255)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="subscriptions"
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    status = models.CharField(max_length=40)  # Stripe's
    cancels = models.BooleanField(default=False)  # when the period is over
    period_ends_at = models.DateTimeField(null=True)
    # Counts what was written: who asked Stripe before somebody else wrote asks again.
    version = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return self.subscription_id

    @property
    def is_live(self) -> bool:
        return self.status not in OVER


def new_page_key() -> str:
    return new_id("subpage")


class SubscriptionPage(models.Model):
    """Stripe's page on which an organisation may subscribe: one, however many tabs are open."""

    organisation = models.OneToOneField(
        Organisation, primary_key=True, on_delete=models.CASCADE, related_name="subscription_page"
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    # Stripe's idempotency key is made of it; who replaces the page asks for the one they saw.
    key = models.CharField(max_length=40, unique=True, default=new_page_key)
    checkout_session_id = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return str(self.organisation_id)


class PostPaid(models.Model):
    """An organisation that uses first and pays by Stripe's invoice later, up to a credit line.

    What it owes is its account's balance, below zero. `metered_nanos` is what of it batches tell
    Stripe to bill, `settled_nanos` what of that Stripe will ask for no more, since an invoice of it
    was paid, rounded or voided: what is owed beyond their difference is to be told.
    """

    organisation = models.OneToOneField(
        Organisation, primary_key=True, on_delete=models.PROTECT, related_name="post_paid"
    )
    active = models.BooleanField(default=True)
    # Counts the times it was switched on: each has a subscription of its own at Stripe.
    term = models.PositiveIntegerField(default=1)
    subscription_id = models.CharField(max_length=255, unique=True, null=True)
    metered_nanos = models.BigIntegerField(default=0)
    settled_nanos = models.BigIntegerField(default=0)
    set_by = models.CharField(max_length=254)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "organisation that pays later"
        verbose_name_plural = "organisations that pay later"
        constraints = [
            models.CheckConstraint(
                condition=Q(metered_nanos__gte=0), name="post_paid_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return str(self.organisation_id)


class UsageInvoice(models.Model):
    """An invoice of usage that Stripe is done with, or one that collected what such a one left.

    A price below Stripe's smallest charge is not paid, but put on the customer's balance there, and
    paid with the customer's next invoice, of usage or of a plan. So all of them together settle the
    usage on them, less what of its price was neither credited, nor carried to another, nor voided.
    """

    invoice_id = models.CharField(primary_key=True, max_length=255)
    post_paid = models.ForeignKey(PostPaid, on_delete=models.PROTECT, related_name="invoices")
    units_nanos = models.BigIntegerField()
    price_cents = models.BigIntegerField()  # of these units, rounded by Stripe, before tax
    credited_cents = models.BigIntegerField()  # of its own price
    carried_cents = models.BigIntegerField(default=0)  # of earlier ones, credited with it
    voided = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(voided=False) | Q(credited_cents=0), name="usage_invoice_void_is_unpaid"
            ),
            models.CheckConstraint(
                condition=Q(carried_cents__gte=0), name="usage_invoice_carries_forward"
            ),
        ]

    def __str__(self) -> str:
        return self.invoice_id


def new_batch_id() -> str:
    return new_id("use")


class MeterBatch(models.Model):
    """Usage that Stripe is told of once: the id is the identifier of its meter event.

    An organisation has one that waits at most; what is used meanwhile goes into the next.
    """

    id = models.CharField(primary_key=True, max_length=40, default=new_batch_id)
    post_paid = models.ForeignKey(PostPaid, on_delete=models.PROTECT, related_name="batches")
    amount_nanos = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    attempted_at = models.DateTimeField(null=True)  # for the first time
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name_plural = _("meter batches")
        constraints = [
            models.CheckConstraint(condition=Q(amount_nanos__gt=0), name="batch_positive"),
            models.UniqueConstraint(
                fields=["post_paid"], condition=Q(sent_at=None), name="batch_one_waits"
            ),
        ]

    def __str__(self) -> str:
        return self.id
