"""Which models are served, under which names, and where their engines listen.

The request log's rows have a module of their own; Django looks for them here.
"""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from inference.log.models import KeptBodies, KeyedRequest, RequestMetadata, StoredResponse

__all__ = [
    "EngineTime",
    "KeptBodies",
    "KeyedRequest",
    "ModelAlias",
    "RequestMetadata",
    "ServedModel",
    "StoredResponse",
]

# It stands in addresses, headers and command lines; `/` as in `owner/model` is fine.
check_name = RegexValidator(
    r"^[^\s/][^\s]*\Z", _("A name has no spaces and does not begin with /.")
)


class Quantization(models.TextChoices):
    """What `--quantize` of the engine takes."""

    INT8 = "int8"


class ModelKind(models.TextChoices):
    """What a model does, told by its checkpoint."""

    TEXT = "text", _("text generation")
    EMBEDDINGS = "embeddings", _("embeddings")
    FILL_MASK = "fill_mask", _("masked tokens")


class ModelState(models.TextChoices):
    """What an operator wants of a model's engines; `portal.serving` makes it so."""

    LOADED = "loaded", _("loaded")  # they run and take requests
    DRAINED = "drained", _("drained")  # they run on, what runs finishes, new requests are refused
    UNLOADED = "unloaded", _("unloaded")  # what runs finishes, they end, their memory is free


MAX_ENGINES = 16  # of one model on one machine
# The source of the model that ships with the product. Its folder moves with the code, so the table
# does not name it; no hub id has a colon.
SHIPPED = "shipped:starter"


class ServedModel(models.Model):
    """A model customers can call. `manage.py serve` starts the engines of each enabled one."""

    name = models.CharField(max_length=200, unique=True, validators=[check_name])
    # A folder, a hub id, or SHIPPED; empty: an engine that somebody else runs (see ENGINES).
    source = models.CharField(max_length=500, blank=True)
    description = models.TextField(blank=True)
    kind = models.CharField(_("kind"), max_length=10, choices=ModelKind, default=ModelKind.TEXT)
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
    # A column, so that a model whose last organisation goes is nobody's, and not everybody's.
    is_public = models.BooleanField(_("offered to everybody"), default=True)
    organisations = models.ManyToManyField(
        Organisation,
        blank=True,
        related_name="models",
        verbose_name=_("organisations"),
        help_text=_("who sees and uses a model that is not offered to everybody"),
    )
    state = models.CharField(
        _("wanted state"), max_length=10, choices=ModelState, default=ModelState.LOADED
    )
    num_engines = models.PositiveSmallIntegerField(_("engines"), default=1)
    # Why its engines do not run, as the supervisor found it; empty when they do.
    problem = models.TextField(blank=True, editable=False)
    shutdown_date = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["position", "name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(quantization__in=["", *Quantization.values]),
                name="quantization_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=ModelKind.values), name="kind_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(kind=ModelKind.TEXT) | models.Q(is_chat=False, quantization=""),
                name="encoders_do_not_chat",
                violation_error_message=_(
                    "An encoder has no chat template and no rounded weights."
                ),
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=ModelState.values), name="state_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(num_engines__gte=1, num_engines__lte=MAX_ENGINES),
                name="num_engines_is_sensible",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def location(self) -> str:
        """The folder or hub id that an engine is started with."""
        return str(settings.STARTER_DIR) if self.source == SHIPPED else self.source


class EngineTime(models.Model):
    """How long a model's engines ran on one day (UTC), on all machines together."""

    model = models.CharField(max_length=200)  # a name: the time stays when the model is gone
    day = models.DateField()
    milliseconds = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["model", "day"], name="engine_time_once_a_day"),
            models.CheckConstraint(
                condition=models.Q(milliseconds__gte=0), name="engine_time_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} on {self.day}"


class ModelAlias(models.Model):
    """Another name that resolves to a served model, such as an engine name of older clients."""

    name = models.CharField(max_length=200, unique=True, validators=[check_name])
    target = models.ForeignKey(ServedModel, on_delete=models.CASCADE, related_name="aliases")

    class Meta:
        verbose_name_plural = "model aliases"

    def __str__(self) -> str:
        return f"{self.name} → {self.target.name}"
