"""Who may do what: users, organisations, memberships, invitations and API keys.

Guarantees, as constraints: an e-mail address belongs to one user; a user has one role per
organisation; a key's hash is unique and its secret is stored nowhere.
"""

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.lib.ids import new_organisation_id
from portal.lib.names import check_plain_name

# The largest limit that fits its column.
MAX_PER_MINUTE = 2**31 - 1


class Audited(models.Model):
    """What belongs to an organisation and whose changes stand in its audit log."""

    organisation_id: str

    class Meta:
        abstract = True

    def get_additional_data(self) -> dict[str, str]:
        """What django-auditlog stores beside each change, so that `audit.entries` finds it."""
        return {"organisation": self.organisation_id}


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    username = None  # type: ignore[assignment]
    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    email = models.EmailField(_("email address"), unique=True)
    name = models.CharField(_("name"), max_length=100, blank=True, validators=[check_plain_name])
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    # Of their mails; a browser's own choice is a cookie.
    language = models.CharField(max_length=16, default="en", editable=False)
    # When their first organisation was made: welcome credit is for that one only.
    welcomed_at = models.DateTimeField(null=True, blank=True, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[assignment, misc]

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique_any_case"),
        ]

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.name or self.email.partition("@")[0]


MAX_MULTIPLIER_BP = 100_000
MAX_RETENTION_DAYS = 365
_retention_validators = [MinValueValidator(1), MaxValueValidator(MAX_RETENTION_DAYS)]


class Organisation(models.Model):
    id = models.CharField(primary_key=True, max_length=40, default=new_organisation_id)
    name = models.CharField(_("name"), max_length=100, validators=[check_plain_name])
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    suspended_at = models.DateTimeField(null=True, blank=True)
    # What is left of a deleted one is its ledger.
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Basis points of the list price this organisation pays: 10,000 is the list price itself.
    multiplier_bp = models.PositiveIntegerField(
        default=10_000, validators=[MaxValueValidator(MAX_MULTIPLIER_BP)]
    )
    # The request log. Usage records are not part of it: they are the bill, and stay.
    keeps_bodies = models.BooleanField(
        _("keep requests and answers"),
        default=False,
        help_text=_(
            "Encrypted, for the request log. Turned off, nothing is kept, and what was kept is "
            "deleted within the hour."
        ),
    )
    body_retention_days = models.PositiveSmallIntegerField(
        _("days to keep requests and answers"), default=30, validators=_retention_validators
    )
    metadata_retention_days = models.PositiveSmallIntegerField(
        _("days to keep metadata"),
        default=90,
        validators=_retention_validators,
        help_text=_("The pairs that requests carry in their field metadata."),
    )
    members = models.ManyToManyField(User, through="Membership", related_name="organisations")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(multiplier_bp__lte=MAX_MULTIPLIER_BP),
                name="organisation_multiplier_sane",
            ),
            models.CheckConstraint(
                condition=models.Q(deleted_at=None) | models.Q(suspended_at__isnull=False),
                name="organisation_deleted_is_suspended",
            ),
            models.CheckConstraint(
                condition=models.Q(body_retention_days__range=(1, MAX_RETENTION_DAYS)),
                name="organisation_body_retention_sane",
            ),
            models.CheckConstraint(
                condition=models.Q(metadata_retention_days__range=(1, MAX_RETENTION_DAYS)),
                name="organisation_metadata_retention_sane",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_additional_data(self) -> dict[str, str]:
        return {"organisation": self.id}


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    DEVELOPER = "developer", _("Developer")
    BILLING = "billing", _("Billing")
    VIEWER = "viewer", _("Viewer")


class Membership(Audited):
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "user"], name="membership_once"),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="membership_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class Invitation(Audited):
    """An offer of membership, accepted with a token of which only the hash is stored."""

    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="invitations"
    )
    email = models.EmailField()
    role = models.CharField(max_length=16, choices=Role)
    token_hash = models.BinaryField(max_length=32, unique=True)
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "organisation",
                Lower("email"),
                condition=models.Q(accepted_at=None),
                name="invitation_open_once",
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="invitation_role_known"
            ),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def has_expired(self) -> bool:
        return self.expires_at <= timezone.now()


class Scope(models.TextChoices):
    INFERENCE = "inference", _("Call models")
    MANAGEMENT = "management", _("Manage the organisation")


class ApiKey(Audited):
    """A key to the REST API; `accounts.keys` mints and parses the secret, shown once.

    An inference key cannot manage and a management key cannot generate: one scope a key.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="api_keys"
    )
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    name = models.CharField(_("name"), max_length=100, validators=[check_plain_name])
    prefix = models.CharField(max_length=16, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    key_hash = models.BinaryField(max_length=32, unique=True, editable=False)
    scope = models.CharField(max_length=16, choices=Scope, default=Scope.INFERENCE)
    # Names of served models; empty: every model the organisation may call.
    allowed_models = models.JSONField(default=list, blank=True)
    # CIDR ranges; empty: from anywhere.
    ip_ranges = models.JSONField(default=list, blank=True)
    monthly_cap_nanos = models.BigIntegerField(null=True, blank=True)
    # Beside the organisation's own limits, which apply to all its keys together.
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    # Of those that this one succeeds by rotation: they share their limits, as they do their cap.
    first_key = models.ForeignKey(
        "self", null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scope__in=Scope.values), name="api_key_scope_known"
            ),
            models.CheckConstraint(
                condition=models.Q(monthly_cap_nanos=None) | models.Q(monthly_cap_nanos__gte=0),
                name="api_key_cap_not_negative",
            ),
            models.CheckConstraint(
                condition=(
                    models.Q(requests_per_minute=None) | models.Q(requests_per_minute__gte=1)
                )
                & (models.Q(tokens_per_minute=None) | models.Q(tokens_per_minute__gte=1)),
                name="api_key_limits_let_something_pass",
            ),
        ]
        indexes = [models.Index(fields=["organisation", "-created_at"])]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…{self.last_four})"


class OutgoingMail(models.Model):
    """A mail as a row first, so that a lost broker or mail server loses nothing."""

    subject = models.CharField(max_length=998)
    sender = models.CharField(max_length=320)
    recipients = models.JSONField()
    text = models.TextField()
    html = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    sent_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=models.Q(sent_at=None), name="mail_unsent"
            )
        ]

    def __str__(self) -> str:
        return f"{self.subject} → {', '.join(self.recipients)}"


class OperatorLink(models.Model):
    """A one-time link that signs an operator in; only its token's hash is stored."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    token_hash = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.user} until {self.expires_at:%H:%M}"
