"""Which models are served, under which names, and where their engines listen."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Quantization(models.TextChoices):
    """What `--quantize` of the engine takes."""

    INT8 = "int8"


class ServedModel(models.Model):
    """A model customers can call. `manage.py serve` starts an engine for each enabled one."""

    name = models.CharField(max_length=200, unique=True)
    # A folder, or a hub id; empty: an engine that somebody else runs (see ENGINES).
    source = models.CharField(max_length=500, blank=True)
    description = models.TextField(blank=True)
    max_model_len = models.PositiveIntegerField(default=2048)
    quantization = models.CharField(
        _("quantised weights"),
        max_length=10,
        blank=True,
        choices=Quantization,
        help_text=_("round the weights when the model is loaded; empty: leave them"),
    )
    is_chat = models.BooleanField(_("has a chat template"), default=True)
    # `/v1/models` and the menus list by this, then by name.
    position = models.IntegerField(default=100)
    enabled = models.BooleanField(default=True)
    shutdown_date = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["position", "name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(quantization__in=["", *Quantization.values]),
                name="quantization_is_known",
            )
        ]

    def __str__(self) -> str:
        return self.name


class ModelAlias(models.Model):
    """Another name that resolves to a served model, such as an engine name of older clients."""

    name = models.CharField(max_length=200, unique=True)
    target = models.ForeignKey(ServedModel, on_delete=models.CASCADE, related_name="aliases")

    class Meta:
        verbose_name_plural = "model aliases"

    def __str__(self) -> str:
        return f"{self.name} → {self.target.name}"
