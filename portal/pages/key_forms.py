"""The forms that make an API key and change its limits; every error names its field."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import flows
from accounts.models import MAX_PER_MINUTE, Scope
from billing.forms import MonthlyCapField
from billing.topups import new_form_token
from inference.catalog import CatalogEntry
from portal.lib.lists import items
from portal.lib.names import check_plain_name


class KeyLimitsForm(forms.Form):
    """How much a key may spend and how fast; each may be left out."""

    monthly_cap = MonthlyCapField(help_text=_("Requests that would go over it are refused."))
    requests_per_minute = forms.IntegerField(
        label=_("Requests per minute"),
        required=False,
        min_value=1,
        max_value=MAX_PER_MINUTE,
        help_text=_("The organisation's own limits apply as well."),
    )
    tokens_per_minute = forms.IntegerField(
        label=_("Tokens per minute"), required=False, min_value=1, max_value=MAX_PER_MINUTE
    )

    def key_fields(self) -> dict[str, Any]:
        """What `flows.create_key` and `flows.change_key` take."""
        data = dict(self.cleaned_data)
        data["monthly_cap_nanos"] = data.pop("monthly_cap")
        return data


class KeyForm(KeyLimitsForm):
    field_order = ("name", "scope", "allowed_models")

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        validators=[check_plain_name],
        help_text=_("Where it is used, so that you can recognise it."),
    )
    scope = forms.ChoiceField(
        label=_("It may"),
        initial=Scope.INFERENCE,
        help_text=_("A key that calls models cannot manage, and the other way round."),
    )
    allowed_models = forms.MultipleChoiceField(
        label=_("Models"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None selected: every model."),
    )
    expires_at = forms.DateTimeField(
        label=_("Expires (UTC)"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    ip_ranges = forms.CharField(
        label=_("Allowed addresses"),
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "203.0.113.0/24"}),
        help_text=_("One address or CIDR range a line; empty: from anywhere."),
    )

    form_token = forms.CharField(
        max_length=64, widget=forms.HiddenInput, initial=new_form_token, required=False
    )

    def __init__(
        self, *args: Any, scopes: Sequence[Scope], offered: Sequence[CatalogEntry], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        scope = self.fields["scope"]
        assert isinstance(scope, forms.ChoiceField)
        scope.choices = [(each.value, each.label) for each in scopes]
        field = self.fields["allowed_models"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(entry.name, entry.name) for entry in offered]

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError(_("Choose a time in the future."))
        return expires_at

    def clean_ip_ranges(self) -> list[str]:
        try:
            return flows.ip_ranges(items(self.cleaned_data["ip_ranges"]))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
