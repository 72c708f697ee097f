"""An organisation on its way out: asked for by an owner, finished once its money is settled."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Organisation


class Closing(models.Model):
    """One an organisation. What it gave up is known when it is finished, and what came later."""

    organisation = models.OneToOneField(
        Organisation, primary_key=True, on_delete=models.PROTECT, related_name="closing"
    )
    requested_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True)
    given_up_nanos = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(finished_at__isnull=False) | Q(given_up_nanos=0),
                name="closing_gives_up_at_its_end",
            ),
        ]

    def __str__(self) -> str:
        return str(self.organisation_id)
