"""Forms of billing."""

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from billing import tiers, topups
from billing.models import Account, Price, TierOverride
from portal.lib.money import NANOS_PER_DOLLAR


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


class FormToken(forms.Form):
    """Of a form that is a button: a double click is one."""

    form_token = forms.CharField(max_length=40)


class AutoTopUpForm(forms.Form):
    """Amounts in dollars; `cents` says what they are in cents."""

    threshold = forms.DecimalField(
        label=_("When the balance falls under"), min_value=Decimal(1), max_digits=9,
        decimal_places=2,
    )  # fmt: skip
    amount = forms.DecimalField(
        label=_("Charge my card"), min_value=0, max_digits=9, decimal_places=2
    )
    ceiling = forms.DecimalField(
        label=_("But at most this much a month"), min_value=0, max_digits=9, decimal_places=2
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The page has another form with an amount.
        super().__init__(*args, **{"auto_id": "auto_%s", **kwargs})

    def clean_amount(self) -> Decimal:
        amount: Decimal = self.cleaned_data["amount"]
        try:
            topups.check_amount(int(amount * 100))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        return amount

    def clean(self) -> None:
        amount, ceiling = self.cleaned_data.get("amount"), self.cleaned_data.get("ceiling")
        if amount is not None and ceiling is not None and ceiling < amount:
            self.add_error("ceiling", _("It must allow one charge at least."))

    def cents(self, name: str) -> int:
        return int(self.cleaned_data[name] * 100)


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
