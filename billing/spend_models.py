"""What was charged in a month, for monthly caps: a part of an account's row, and a row a key."""

from datetime import date

from django.db import models
from django.db.models import Q


class MonthlySpend(models.Model):
    """What was charged in one calendar month (UTC), that of the last charge: for a cap.

    A charge counts in the month in which it is booked. What another month has, nothing as a rule,
    the first charge in it finds out (`billing.hold_rows`).
    """

    spend_month = models.DateField(null=True)
    spent_nanos = models.BigIntegerField(default=0)

    class Meta:
        abstract = True

    def spent_in(self, month: date) -> int:
        return self.spent_nanos if self.spend_month == month else 0


class KeySpend(MonthlySpend):
    """What one API key has spent this month and what its requests hold, for its cap.

    A key that was rotated and its successors have one cap, so all of it counts in the first one's
    row, whichever of them spends: rotating begins no new month, also while two of them work.
    """

    api_key_id = models.UUIDField(unique=True)
    counts_in = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")
    pending_nanos = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(spent_nanos__gte=0, pending_nanos__gte=0),
                name="key_spend_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(counts_in=None) | Q(spent_nanos=0, pending_nanos=0),
                name="key_spend_counts_once",
            ),
        ]

    def __str__(self) -> str:
        return str(self.api_key_id)

    @property
    def counted(self) -> "KeySpend":
        """The row in which what this key spends counts."""
        return self.counts_in or self
