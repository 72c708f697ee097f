"""Money and usage: accounts, transfers, holds, prices, usage records.

The words are TigerBeetle's. Every invariant that matters is a constraint here or a trigger made
in `billing.triggers`; `billing.ledger` (with `ledger_payments`) is the only writer of accounts,
transfers and holds.
All amounts are integer nano-US-dollars; prices are nanos per million tokens. What Stripe is told
and tells is in `billing.payment_models`.
"""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import Organisation
from billing.alert_models import Alert, AlertKind, AlertPost, AlertSettings
from billing.closing_models import Closing
from billing.payment_models import (
    AutoTopUp,
    AutoTopUpState,
    Difference,
    DifferenceKind,
    Dispute,
    Reconciliation,
    Refund,
    RefundState,
    StripeCustomer,
    TopUp,
    TopUpSource,
    TopUpState,
    WebhookDelivery,
    new_refund_id,
    new_top_up_id,
)
from billing.plan_models import (
    MeterBatch,
    Plan,
    PostPaid,
    Subscription,
    SubscriptionPage,
    UsageInvoice,
    new_batch_id,
)
from billing.spend_models import KeySpend, MonthlySpend
from portal.lib.money import BASIS_POINTS, MAX_POSTED_NANOS

# Django looks for models here.
__all__ = [
    "Account", "AccountKind", "Alert", "AlertKind", "AlertPost", "AlertSettings", "AutoTopUp",
    "AutoTopUpState", "Closing", "Difference", "DifferenceKind", "Dispute", "Hold", "HoldState",
    "KeySpend", "LateWaiver", "MeterBatch", "Outcome", "Plan", "PostPaid", "Price",
    "Reconciliation", "Refund", "RefundState", "ServiceTier", "StripeCustomer", "Subscription",
    "SubscriptionPage", "TierOverride", "TopUp", "TopUpSource", "TopUpState", "Transfer",
    "TransferKind", "UsageInvoice", "UsageRecord", "WebhookDelivery", "new_batch_id",
    "new_refund_id", "new_top_up_id",
]  # fmt: skip


class AccountKind(models.TextChoices):
    ORGANISATION = "organisation", _("Organisation")
    CASH = "cash", _("Cash")  # what Stripe holds for us
    REVENUE = "revenue", _("Revenue")
    GRANTS = "grants", _("Grants")
    REFUNDS = "refunds", _("Refunds")  # the house's loss: gone back, but used already
    TAX = "tax", _("Tax")  # taken with payments, owed to the state


class Account(MonthlySpend):
    """One side of transfers.

    An organisation's account keeps its totals under a CHECK; the house accounts keep none (they
    are sums over transfers), so that no row is hot.
    """

    kind = models.CharField(max_length=16, choices=AccountKind)
    organisation = models.OneToOneField(
        Organisation, null=True, on_delete=models.PROTECT, related_name="account"
    )
    credits_posted = models.BigIntegerField(default=0)
    debits_posted = models.BigIntegerField(default=0)
    debits_pending = models.BigIntegerField(default=0)
    # How far below zero an organisation that pays later may go.
    credit_line_nanos = models.BigIntegerField(default=0)
    # The most that the organisation wants charged in a month; none: what it has.
    monthly_cap_nanos = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    credits_posted__gte=F("debits_posted")
                    + F("debits_pending")
                    - F("credit_line_nanos")
                ),
                name="debits_must_not_exceed_credits",
            ),
            models.CheckConstraint(
                condition=Q(
                    credits_posted__gte=0,
                    debits_posted__gte=0,
                    debits_pending__gte=0,
                    credit_line_nanos__gte=0,
                ),
                name="account_totals_not_negative",
            ),
            # SQLite goes on in floating point where 64 bits end.
            models.CheckConstraint(
                condition=Q(credits_posted__lte=MAX_POSTED_NANOS), name="account_totals_fit"
            ),
            models.CheckConstraint(
                condition=Q(spent_nanos__gte=0, spent_nanos__lte=F("debits_posted")),
                name="account_spent_what_it_was_charged",
            ),
            models.CheckConstraint(
                condition=Q(monthly_cap_nanos=None) | Q(monthly_cap_nanos__gte=0),
                name="account_cap_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(kind=AccountKind.ORGANISATION, organisation__isnull=False)
                | (~Q(kind=AccountKind.ORGANISATION) & Q(organisation__isnull=True)),
                name="account_is_an_organisations_or_the_houses",
            ),
            models.UniqueConstraint(
                fields=["kind"], condition=Q(organisation=None), name="house_account_once"
            ),
        ]

    def __str__(self) -> str:
        return str(self.organisation or self.get_kind_display())

    @property
    def balance_nanos(self) -> int:
        """What is left: posted minus pending; below zero for who pays later."""
        return self.credits_posted - self.debits_posted - self.debits_pending

    @property
    def available_nanos(self) -> int:
        """What requests may still hold."""
        return self.balance_nanos + self.credit_line_nanos


class TransferKind(models.TextChoices):
    PAYMENT = "payment", _("Payment")
    GRANT = "grant", _("Credit granted")
    USAGE = "usage", pgettext_lazy("what was used", "Usage")
    REFUND = "refund", _("Refund")
    DISPUTE = "dispute", _("Dispute")
    TAX = "tax", _("Tax")
    GIVEN_UP = "given_up", _("Credit given up")  # when an organisation is deleted


class Transfer(models.Model):
    """Posted money: immutable, double-entry, with a unique reference that makes it idempotent."""

    # usage:<request id> · payment:<payment intent> · grant:<id> · refund:<id> · dispute:<id> ·
    # given_up:<organisation>, …:1 for what came later, and rest:<organisation> when one is deleted;
    # …:discount and …:tax are a payment's other parts, …:loss is what the balance did not cover,
    # …:returned what came back, …:1 what was taken again then.
    reference = models.CharField(max_length=255, unique=True)
    kind = models.CharField(max_length=16, choices=TransferKind)
    # No indexes of their own here and below: those of Meta begin with the same columns, and every
    # request pays for each.
    debit_account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="debits", db_index=False
    )
    credit_account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="credits", db_index=False
    )
    amount_nanos = models.BigIntegerField()
    description = models.CharField(max_length=255, blank=True)
    # Who did it, when a person did (a grant by an operator); an e-mail address for the record.
    actor = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_nanos__gt=0), name="transfer_positive"),
            models.CheckConstraint(
                condition=~Q(debit_account=F("credit_account")), name="transfer_two_accounts"
            ),
        ]
        indexes = [
            models.Index(fields=["debit_account", "id"], name="transfer_debits"),
            models.Index(fields=["credit_account", "id"], name="transfer_credits"),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def request_id(self) -> str:
        """The request that this transfer paid for, or nothing."""
        return self.reference.removeprefix("usage:") if self.kind == TransferKind.USAGE else ""


class HoldState(models.TextChoices):
    OPEN = "open", _("Open")
    SETTLED = "settled", _("Settled")
    RELEASED = "released", _("Released")


class Hold(models.Model):
    """Money reserved for one running request: open, then settled (charged) or released.

    Its web process renews its lease; the sweep releases what is over.
    """

    request_id = models.CharField(primary_key=True, max_length=40)
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="holds", db_index=False
    )
    api_key_id = models.UUIDField(null=True)
    amount_nanos = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=HoldState, default=HoldState.OPEN)
    # The web process that renews the lease.
    owner = models.CharField(max_length=64)
    # By the pulse, which decides; and by the time of day of that process, for people.
    lease = models.PositiveBigIntegerField()
    lease_until = models.DateTimeField()
    # What the sweep needs to write a usage record for a request whose process died.
    context = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_nanos__gte=0), name="hold_not_negative"),
            models.CheckConstraint(
                condition=Q(state=HoldState.OPEN, closed_at=None)
                | Q(state__in=[HoldState.SETTLED, HoldState.RELEASED], closed_at__isnull=False),
                name="hold_closed_once",
            ),
        ]
        indexes = [
            # Open holds are few, so those whose lease is over are found among them without an
            # index of their own, which every renewal would have to keep.
            models.Index(fields=["account"], condition=Q(state="open"), name="hold_open_account"),
        ]

    def __str__(self) -> str:
        return self.request_id


class Price(models.Model):
    """What a model's tokens cost from a date on; never edited, only succeeded."""

    model = models.CharField(max_length=200)
    input_nanos_per_mtok = models.BigIntegerField()
    cached_input_nanos_per_mtok = models.BigIntegerField()
    output_nanos_per_mtok = models.BigIntegerField()
    # What requests of the flex tier cost of it: 5,000 is half.
    flex_multiplier_bp = models.PositiveIntegerField(default=BASIS_POINTS)
    effective_from = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["model", "effective_from"], name="price_once_a_date"),
            models.CheckConstraint(
                condition=Q(
                    input_nanos_per_mtok__gte=0,
                    cached_input_nanos_per_mtok__gte=0,
                    output_nanos_per_mtok__gte=0,
                ),
                name="price_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(flex_multiplier_bp__lte=BASIS_POINTS), name="price_flex_is_no_surcharge"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model}, {self.effective_from:%Y-%m-%d}"


class Outcome(models.TextChoices):
    FINISHED = "finished", _("Finished")  # the engine ended it: stop or length
    ABORTED = "aborted", _("Stopped")  # the client hung up or pressed stop
    FAILED = "failed", _("Failed")  # our fault: engine lost, crash, web process died


class ServiceTier(models.TextChoices):
    DEFAULT = "default", _("Default")
    FLEX = "flex", _("Flex")  # waits behind the others


class UsageRecord(models.Model):
    """What one accepted request used and cost: immutable, one a request, with the sum's inputs."""

    request_id = models.CharField(max_length=40, unique=True)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="usage_records", db_index=False
    )
    api_key_id = models.UUIDField(null=True)
    user_id = models.BigIntegerField(null=True)
    face = models.CharField(max_length=16)  # api, playground
    endpoint = models.CharField(max_length=40)  # chat.completions, embeddings, …
    model = models.CharField(max_length=200)
    stream = models.BooleanField(default=False)
    outcome = models.CharField(max_length=10, choices=Outcome)
    finish_reason = models.CharField(max_length=20, blank=True)
    error = models.CharField(max_length=255, blank=True)
    # Disjoint meters: the prompt is uncached + cached.
    uncached_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    # Sampled but not charged: the overrun after a hang-up, and what a crash of ours lost.
    waived_tokens = models.PositiveIntegerField(default=0)
    # Nobody asks for the records of a price, and no price is ever deleted.
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+", db_index=False)
    service_tier = models.CharField(max_length=10, choices=ServiceTier, default=ServiceTier.DEFAULT)
    # The organisation's rate; none in records from before there were tiers.
    rate_bp = models.PositiveIntegerField(null=True)
    # That, and the price's for the flex tier, as one (`pricing.together_bp`).
    multiplier_bp = models.PositiveIntegerField()
    cost_nanos = models.BigIntegerField()
    started_at = models.DateTimeField()
    ttft_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField()
    # From the first token to the last as the engine made them; none in records from before that
    # was kept, and where no token came.
    decode_ms = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(cost_nanos__gte=0), name="usage_cost_not_negative"),
            models.CheckConstraint(
                condition=Q(service_tier__in=ServiceTier.values), name="usage_service_tier_known"
            ),
        ]
        indexes = [
            # The latest come last, where there is room: SQLite packs pages from the left, so what
            # is put before the others takes a full page apart nearly every time.
            models.Index(fields=["organisation", "created_at"], name="usage_of_organisation"),
            models.Index(fields=["api_key_id", "created_at"], name="usage_of_key"),
            models.Index(fields=["created_at"], name="usage_by_time"),
        ]

    def __str__(self) -> str:
        return self.request_id

    @property
    def prompt_tokens(self) -> int:
        return self.uncached_tokens + self.cached_tokens


class TierOverride(models.Model):
    """An operator's choice of a tier for one organisation, whatever it has paid."""

    organisation = models.OneToOneField(
        Organisation, primary_key=True, on_delete=models.CASCADE, related_name="+"
    )
    tier = models.CharField(max_length=40)  # a name in RATE_LIMIT_TIERS
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.organisation_id}: {self.tier}"


class LateWaiver(models.Model):
    """Tokens that no usage record tells of, which are ours to pay.

    The sweep had closed the request before it was settled, or it had begun while its hold was
    written, and that was refused.
    """

    request_id = models.CharField(max_length=40, unique=True)
    model = models.CharField(max_length=200, db_default="")  # none in rows from before it was noted
    tokens = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.request_id


class Pulse(models.Model):
    """One row: a number that goes up while the database takes writes (`billing.pulse`)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    number = models.PositiveBigIntegerField(default=0)
    beat_at = models.DateTimeField(default=timezone.now)
    checked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="pulse_is_one_row")]

    def __str__(self) -> str:
        return str(self.number)
