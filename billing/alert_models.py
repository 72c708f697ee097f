"""What an organisation wants to be told about its money, and what it was told.

Guarantees, as constraints: an alert that is open is there once, so nobody is told twice of one
crossing; an alert is posted to at most one address.
"""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from portal.lib.ids import new_id


def default_percentages() -> list[int]:
    return [80, 95]


class AlertSettings(models.Model):
    """Made with the organisation's first choice; until then the defaults hold."""

    organisation = models.OneToOneField(
        Organisation, primary_key=True, on_delete=models.CASCADE, related_name="alert_settings"
    )
    # Of the monthly cap, ascending; without a cap they say nothing.
    percentages = models.JSONField(default=default_percentages, blank=True)
    low_balance_nanos = models.BigIntegerField(null=True)
    by_mail = models.BooleanField(default=True)
    webhook_url = models.CharField(max_length=500, blank=True)
    # Sealed; whoever holds it can sign as we do.
    webhook_secret = models.BinaryField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(low_balance_nanos=None) | Q(low_balance_nanos__gt=0),
                name="low_balance_positive",
            ),
            models.CheckConstraint(
                condition=Q(webhook_url="") | Q(webhook_secret__isnull=False),
                name="webhook_has_a_secret",
            ),
        ]

    def __str__(self) -> str:
        return f"alerts of {self.organisation_id}"


class AlertKind(models.TextChoices):
    SPENDING = "spending.threshold_reached", _("Spending")
    REFUSED = "spending.cap_reached", _("Monthly cap reached")  # a request was refused for it
    KEY_REFUSED = "spending.key_cap_reached", _("Monthly cap of a key reached")
    BALANCE = "balance.low", _("Low balance")


def new_alert_id() -> str:
    return new_id("alert")


class Alert(models.Model):
    """One crossing of one threshold; open until the value is clearly back."""

    id = models.CharField(primary_key=True, max_length=40, default=new_alert_id)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=32, choices=AlertKind)
    threshold = models.BigIntegerField()  # per cent of the cap, or nanos of the balance
    value_nanos = models.BigIntegerField()  # spent, or the balance, when it was crossed
    cap_nanos = models.BigIntegerField(null=True)
    api_key_id = models.UUIDField(null=True)  # whose cap it is, if not the organisation's
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    cleared_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "kind", "threshold"],
                condition=Q(cleared_at=None, api_key_id=None),
                name="alert_once_a_crossing",
            ),
            models.UniqueConstraint(
                fields=["api_key_id", "kind"],
                condition=Q(cleared_at=None, api_key_id__isnull=False),
                name="alert_once_a_key",
            ),
            models.CheckConstraint(
                condition=Q(cleared_at=None) | Q(cleared_at__gte=F("created_at")),
                name="alert_cleared_after_it_was_made",
            ),
        ]
        indexes = [models.Index(fields=["organisation", "-created_at"])]

    def __str__(self) -> str:
        return self.id


class AlertPost(models.Model):
    """The alert on its way to the organisation's address; tried again until it is taken."""

    alert = models.OneToOneField(
        Alert, primary_key=True, on_delete=models.CASCADE, related_name="post"
    )
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, default=timezone.now)  # null: given up
    taken_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(taken_at=None, next_attempt_at__isnull=False),
                name="alert_post_waiting",
            )
        ]

    def __str__(self) -> str:
        return f"post of {self.alert_id}"
