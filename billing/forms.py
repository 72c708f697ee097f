"""Forms of billing."""

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from billing import tiers, topups
from billing.models import Account, Price, TierOverride
from portal.lib.money import MAX_NANOS, NANOS_PER_DOLLAR, format_plain


class MonthlyCapField(forms.DecimalField):
    """Dollars in the form, nanos in `cleaned_data` and `initial`; empty: none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            label=_("Monthly cap in US dollars"),
            required=False,
            min_value=0,
            max_value=MAX_NANOS // NANOS_PER_DOLLAR,
            decimal_places=9,
            **options,
        )
        self.widget.attrs["step"] = "any"

    def prepare_value(self, value: Any) -> Any:
        return format_plain(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        amount = super().clean(value)
        return None if amount is None else int(amount * NANOS_PER_DOLLAR)


class CapForm(forms.Form):
    monthly_cap = MonthlyCapField(
        help_text=_(
            "Of all keys and the playground together; a request that might go over it is refused."
        )
    )


class TopUpForm(forms.Form):
    amount = forms.DecimalField(
        label=_("Amount in US dollars"), min_value=0, max_digits=12, decimal_places=2
    )
    form_token = forms.CharField(
        max_length=40, widget=forms.HiddenInput, initial=topups.new_form_token
    )

    @property
    def amount_cents(self) -> int:
        amount: Decimal = self.cleaned_data["amount"]
        return int(amount * 100)


class GrantForm(forms.Form):
    """An operator's gift, with the reason that the customer will read in the ledger."""

    organisation = forms.CharField(label=_("Organisation id"), max_length=40)
    amount = forms.DecimalField(
        label=_("Amount in US dollars"), min_value=Decimal("0.000000001"), max_digits=18,
        decimal_places=9,
    )  # fmt: skip
    reason = forms.CharField(label=_("Reason"), max_length=200)
    form_token = forms.CharField(
        max_length=64, widget=forms.HiddenInput, initial=topups.new_form_token
    )

    def clean_organisation(self) -> str:
        organisation_id: str = self.cleaned_data["organisation"].strip()
        if not Account.objects.filter(organisation_id=organisation_id).exists():
            raise forms.ValidationError(_("There is no organisation with this id."))
        return organisation_id

    @property
    def amount_nanos(self) -> int:
        amount: Decimal = self.cleaned_data["amount"]
        return int(amount * NANOS_PER_DOLLAR)


class PriceForm(forms.ModelForm[Price]):
    """A new price; nanos per million tokens are dollars per million tokens x 10⁹."""

    class Meta:
        model = Price
        fields: ClassVar = [
            "model",
            "input_nanos_per_mtok",
            "cached_input_nanos_per_mtok",
            "output_nanos_per_mtok",
            "effective_from",
        ]


class TierForm(forms.ModelForm[TierOverride]):
    """One of the tiers that there are, with the reason for whoever reads it later."""

    class Meta:
        model = TierOverride
        fields: ClassVar = ["organisation", "tier", "reason"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [(tier.name, tier.name) for tier in tiers.table()]
        self.fields["tier"] = forms.ChoiceField(label=_("Tier"), choices=names)
