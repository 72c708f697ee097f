"""What Stripe is told and tells: deliveries of its webhooks, and payments in.

Amounts are integer cents, as Stripe counts; the ledger has them in nanos. What must not happen
twice, or beyond a limit, is a constraint here.
"""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from portal.lib.ids import new_id
from portal.lib.money import NANOS_PER_CENT


class WebhookDelivery(models.Model):
    """One signed delivery as it came, stored before anything is done with it."""

    event_id = models.CharField(max_length=255, unique=True)
    event_type = models.CharField(max_length=100)
    payload = models.TextField()
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(processed_at=None), name="webhook_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class TopUpState(models.TextChoices):
    CREATED = "created", _("Created")
    PAID = "paid", _("Paid")
    EXPIRED = "expired", _("Expired")
    FAILED = "failed", _("Failed")  # the bank refused a saved card


class TopUpSource(models.TextChoices):
    TOP_UP = "top_up", _("Top-up")
    SUBSCRIPTION = "subscription", _("Subscription")
    POST_PAID = "post_paid", _("Invoice of usage")


def new_top_up_id() -> str:
    return new_id("tup")


class TopUp(models.Model):
    """An attempt to pay credit in: by a person on Stripe Checkout, or by itself with a saved card.

    At most one that happens by itself is under way for an organisation. The credit is
    `amount_cents`; what Stripe takes for it is that less a discount, and tax on top.
    """

    id = models.CharField(primary_key=True, max_length=40, default=new_top_up_id)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="top_ups")
    amount_cents = models.PositiveIntegerField()
    # Known when it is paid; the tax of an automatic one before it is charged.
    discount_cents = models.PositiveIntegerField(default=0)
    tax_cents = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=TopUpState, default=TopUpState.CREATED)
    # What brought it; an invoice of a subscription or of usage is there once it is paid.
    source = models.CharField(max_length=12, choices=TopUpSource, default=TopUpSource.TOP_UP)
    automatic = models.BooleanField(default=False)
    # Kept for an automatic one, so that trying again charges the same card.
    payment_method_id = models.CharField(max_length=255, blank=True)
    # Stripe's calculation of its tax; empty: without tax; null: not asked yet.
    tax_calculation_id = models.CharField(max_length=255, null=True)
    failure = models.CharField(max_length=100, blank=True)  # Stripe's code
    # What the browser sends with the form, so that a double click makes one session.
    form_token = models.CharField(max_length=64)
    checkout_session_id = models.CharField(max_length=255, unique=True, null=True)
    checkout_url = models.TextField(blank=True)
    # The payment page's where there was nothing to pay: a discount of everything.
    payment_intent_id = models.CharField(max_length=255, unique=True, null=True)
    invoice_id = models.CharField(max_length=255, blank=True)
    # What went back of it, tax included; together never more than the payment.
    refunded_cents = models.PositiveIntegerField(default=0)
    disputed_cents = models.PositiveIntegerField(default=0)
    created_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    paid_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "top-up"
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "form_token"], name="top_up_once_a_form"
            ),
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="top_up_positive"),
            models.UniqueConstraint(
                fields=["invoice_id"], condition=~Q(invoice_id=""), name="top_up_once_an_invoice"
            ),
            models.UniqueConstraint(
                fields=["organisation"],
                condition=Q(automatic=True, state=TopUpState.CREATED),
                name="top_up_one_automatic_at_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(state=TopUpState.PAID)
                | Q(payment_intent_id__isnull=False, paid_at__isnull=False),
                name="top_up_paid_by_a_payment",
            ),
            models.CheckConstraint(
                condition=Q(amount_cents__gte=F("discount_cents")), name="top_up_discount_within"
            ),
            models.CheckConstraint(
                condition=Q(
                    amount_cents__gte=F("discount_cents")
                    - F("tax_cents")
                    + F("refunded_cents")
                    + F("disputed_cents")
                ),
                name="top_up_refunds_within_payment",
            ),
            models.CheckConstraint(
                condition=Q(state=TopUpState.PAID) | Q(refunded_cents=0, disputed_cents=0),
                name="top_up_refunds_of_a_payment",
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def amount_nanos(self) -> int:
        return self.amount_cents * NANOS_PER_CENT

    @property
    def net_cents(self) -> int:
        """What was paid for the credit."""
        return self.amount_cents - self.discount_cents

    @property
    def paid_cents(self) -> int:
        """What Stripe took."""
        return self.net_cents + self.tax_cents

    @property
    def paid_nanos(self) -> int:
        return self.paid_cents * NANOS_PER_CENT

    @property
    def discount_nanos(self) -> int:
        return self.discount_cents * NANOS_PER_CENT

    @property
    def tax_nanos(self) -> int:
        return self.tax_cents * NANOS_PER_CENT

    @property
    def gone_cents(self) -> int:
        return self.refunded_cents + self.disputed_cents

    @property
    def gone_nanos(self) -> int:
        return self.gone_cents * NANOS_PER_CENT


class StripeCustomer(models.Model):
    """An organisation's one customer at Stripe, and the card that may be charged without it."""

    organisation = models.OneToOneField(
        Organisation, primary_key=True, on_delete=models.PROTECT, related_name="stripe_customer"
    )
    customer_id = models.CharField(max_length=255, unique=True)
    payment_method_id = models.CharField(max_length=255, blank=True)
    card_brand = models.CharField(max_length=40, blank=True)
    card_last4 = models.CharField(max_length=4, blank=True)
    card_expires = models.CharField(max_length=7, blank=True)  # 08/2030
    # When the page was made on which the card was saved: an older one never replaces it.
    card_asked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.customer_id


class AutoTopUpState(models.TextChoices):
    ACTIVE = "active", _("On")
    OFF = "off", _("Off")
    NEEDS_CONSENT = "needs_consent", _("Waits for your bank's confirmation")  # 3-D Secure
    NEEDS_ADDRESS = "needs_address", _("Waits for your address")  # tax depends on it
    STOPPED = "stopped", _("Stopped")  # after the last failure


MAX_AUTO_TOP_UP_FAILURES = 3


class AutoTopUp(models.Model):
    """When an organisation's saved card is charged by itself, and what it was this month.

    `charged_cents` counts what is paid and what is under way, of the month (UTC) `month`; of it,
    `late_cents` is what was paid after its room had been given to others. The ceiling above what
    was begun is a constraint.
    """

    organisation = models.OneToOneField(
        Organisation, primary_key=True, on_delete=models.PROTECT, related_name="auto_top_up"
    )
    threshold_cents = models.PositiveIntegerField()
    amount_cents = models.PositiveIntegerField()
    ceiling_cents = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=AutoTopUpState, default=AutoTopUpState.OFF)
    failures = models.PositiveSmallIntegerField(default=0)  # in a row
    next_attempt_at = models.DateTimeField(default=timezone.now)
    month = models.DateField(null=True)
    charged_cents = models.PositiveIntegerField(default=0)
    late_cents = models.PositiveIntegerField(default=0, db_default=0)
    # Who turned it on: an e-mail address for the record and the receipts.
    set_by = models.CharField(max_length=254)

    class Meta:
        verbose_name = "automatic top-up"
        constraints = [
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="auto_top_up_positive"),
            models.CheckConstraint(
                condition=Q(charged_cents__lte=F("ceiling_cents") + F("late_cents")),
                name="auto_top_up_ceiling",
            ),
            models.CheckConstraint(
                condition=Q(late_cents__lte=F("charged_cents")), name="auto_top_up_late_within"
            ),
            models.CheckConstraint(
                condition=~Q(state=AutoTopUpState.ACTIVE)
                | Q(failures__lt=MAX_AUTO_TOP_UP_FAILURES),
                name="auto_top_up_stops",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organisation_id}: {self.state}"


class RefundState(models.TextChoices):
    CREATED = "created", _("On its way")
    SUCCEEDED = "succeeded", _("Refunded")
    FAILED = "failed", _("Failed")


def new_refund_id() -> str:
    return new_id("rfd")


class Refund(models.Model):
    """Money on its way back to a card: the customer's wish, or the operator's at Stripe."""

    id = models.CharField(primary_key=True, max_length=40, default=new_refund_id)
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="refunds")
    amount_cents = models.PositiveIntegerField()
    # Of it, tax; and the discount that is taken back beside it (`billing.shares`).
    tax_cents = models.PositiveIntegerField(default=0)
    discount_cents = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=RefundState, default=RefundState.CREATED)
    # The form's, or Stripe's own id for one from its dashboard: each makes one refund.
    form_token = models.CharField(max_length=255)
    stripe_refund_id = models.CharField(max_length=255, unique=True, null=True)
    requested_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["top_up", "form_token"], name="refund_once_a_form"),
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="refund_positive"),
            models.CheckConstraint(
                condition=Q(amount_cents__gte=F("tax_cents")), name="refund_tax_within"
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def amount_nanos(self) -> int:
        return self.amount_cents * NANOS_PER_CENT

    @property
    def reference(self) -> str:
        """Of its transfer."""
        return f"refund:{self.id}"


class Dispute(models.Model):
    """A payment that its payer's bank wants back, as Stripe tells it."""

    dispute_id = models.CharField(primary_key=True, max_length=255)
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="disputes")
    amount_cents = models.PositiveIntegerField()
    # Of it, tax; and the discount that is taken back beside it (`billing.shares`).
    tax_cents = models.PositiveIntegerField(default=0)
    discount_cents = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=40)  # Stripe's
    reason = models.CharField(max_length=100, blank=True)  # Stripe's
    # Whether the amount stands in `disputed_cents` and in the ledger now.
    taken = models.BooleanField(default=False)
    # Counts what was written: who asked Stripe before somebody else wrote asks again.
    version = models.PositiveIntegerField(default=0, db_default=0)
    # The organisation's suspension that it brought, or found brought by another: it may lift it.
    suspended_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="dispute_positive"),
            models.CheckConstraint(
                condition=Q(amount_cents__gte=F("tax_cents")), name="dispute_tax_within"
            ),
        ]

    def __str__(self) -> str:
        return self.dispute_id

    @property
    def amount_nanos(self) -> int:
        return self.amount_cents * NANOS_PER_CENT

    @property
    def reference(self) -> str:
        """Of its transfer."""
        return f"dispute:{self.dispute_id}"


class Reconciliation(models.Model):
    """One comparison of Stripe with the ledger: what each made from `since` to `until`."""

    since = models.DateTimeField()
    until = models.DateTimeField()
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True)
    compared = models.PositiveIntegerField(default=0)
    num_differences = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M}"


class DifferenceKind(models.TextChoices):
    PAYMENT = "payment", _("Payment")
    USAGE = "usage", _("Usage told")
    REFUND = "refund", _("Refund")
    DISPUTE = "dispute", _("Dispute")


class Difference(models.Model):
    """One thing that Stripe and the ledger know differently; 0 where one does not know it."""

    reconciliation = models.ForeignKey(
        Reconciliation, on_delete=models.CASCADE, related_name="differences"
    )
    kind = models.CharField(max_length=10, choices=DifferenceKind)
    stripe_id = models.CharField(max_length=255)
    stripe_nanos = models.BigIntegerField()
    ledger_nanos = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["reconciliation", "stripe_id"], name="difference_once"),
            models.CheckConstraint(
                condition=~Q(stripe_nanos=F("ledger_nanos")), name="difference_differs"
            ),
        ]

    def __str__(self) -> str:
        return self.stripe_id
