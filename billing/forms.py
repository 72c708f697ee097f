"""Forms of billing."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from billing import alert_settings, tiers, topups
from billing.models import Price, TierOverride, Transfer, TransferKind
from portal.lib.callbacks import MAX_URL
from portal.lib.lists import items
from portal.lib.money import BASIS_POINTS, MAX_NANOS, NANOS_PER_DOLLAR, format_dollars, format_plain

T = TypeVar("T")
SAME_GRANT_WITHIN = timedelta(days=1)


def not_nothing(amount: Decimal) -> None:
    """Beside a minimum of 0; the least that there is would be called 1E-9 by whoever refuses it."""
    if not amount:
        raise forms.ValidationError(_("It must be more than 0."))


class DollarsField(forms.DecimalField):
    """Dollars in the form, nanos in `cleaned_data` and `initial`; empty: none."""

    def __init__(self, **options: Any) -> None:
        most = MAX_NANOS // NANOS_PER_DOLLAR
        defaults = {"required": False, "min_value": 0, "max_value": most, "decimal_places": 9}
        super().__init__(**{**defaults, **options})
        self.widget.attrs["step"] = "any"

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, int):
            return value
        whole, _dot, decimals = format_plain(value).partition(".")
        return f"{whole}.{decimals.ljust(2, '0')}"  # as money is written

    def clean(self, value: Any) -> Any:
        amount = super().clean(value)
        return None if amount is None else int(amount * NANOS_PER_DOLLAR)


class MonthlyCapField(DollarsField):
    def __init__(self, **options: Any) -> None:
        super().__init__(label=_("Monthly cap in US dollars"), **options)


class CapForm(forms.Form):
    monthly_cap = MonthlyCapField(
        help_text=_(
            "Of all keys and the playground together; a request that might go over it is refused."
        )
    )


class AlertsForm(forms.Form):
    percentages = forms.CharField(
        label=_("Percentages of the monthly cap"),
        required=False,
        max_length=100,
        help_text=_("Such as 50, 80, 95; empty: none."),
    )
    low_balance_nanos = DollarsField(
        label=_("Low balance in US dollars"),
        validators=[not_nothing],
        help_text=_("You are alerted when the balance falls below this; empty: never."),
    )
    by_mail = forms.BooleanField(
        label=_("By mail to owners, admins and billing members"), required=False
    )
    webhook_url = forms.CharField(
        label=_("Webhook address"),
        required=False,
        max_length=MAX_URL,
        widget=forms.URLInput(attrs={"placeholder": "https://example.com/hooks/parlance"}),
        help_text=_("Each alert is posted there, signed with your secret."),
    )

    def clean_percentages(self) -> list[int]:
        words = items(re.sub("[%％]", " ", self.cleaned_data["percentages"]))
        if not all(word.isascii() and word.isdigit() for word in words):
            raise forms.ValidationError(_("Write whole numbers, such as 50, 80, 95."))
        return self._checked(alert_settings.percentages, [int(word) for word in words])

    def clean_webhook_url(self) -> str:
        url: str = self.cleaned_data["webhook_url"]
        return self._checked(alert_settings.webhook_url, url)

    def _checked(self, check: Callable[[T], T], wanted: T) -> T:
        try:
            return check(wanted)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


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
        label=_("When the balance falls below"), min_value=Decimal(1), max_digits=9,
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
            self.add_error("ceiling", _("It must allow at least one charge."))

    def cents(self, name: str) -> int:
        return int(self.cleaned_data[name] * 100)


class OrganisationField(forms.CharField):
    """The id in the form, the organisation in `cleaned_data`; one that is deleted is none."""

    def __init__(self) -> None:
        super().__init__(label=_("Organisation id"), max_length=40)

    def clean(self, value: Any) -> Organisation:
        living = Organisation.objects.filter(deleted_at=None, account__isnull=False)
        found = living.filter(pk=super().clean(value)).first()
        if found is None:
            raise forms.ValidationError(_("There is no organisation with this id."))
        return found


class GrantForm(forms.Form):
    """An operator's gift, with the reason that the customer will read in the ledger."""

    organisation = OrganisationField()
    amount = forms.DecimalField(
        label=_("Amount in US dollars"), min_value=0, validators=[not_nothing],
        max_digits=18, decimal_places=9,
    )  # fmt: skip
    reason = forms.CharField(label=_("Reason"), max_length=200)
    again = forms.BooleanField(
        label=_("Grant it once more"), required=False, widget=forms.HiddenInput
    )
    form_token = forms.CharField(
        max_length=64, widget=forms.HiddenInput, initial=topups.new_form_token
    )

    def clean(self) -> None:
        if self.errors:
            return
        posted = Transfer.objects.filter(reference=self.reference).first()
        if posted is not None and not self._same.filter(pk=posted.pk).exists():
            amount = format_dollars(posted.amount_nanos)
            text = _("This form has already granted %(amount)s; open it again for another grant.")
            self.add_error(None, text % {"amount": amount})
        elif posted is None and not self.cleaned_data["again"] and self._same.exists():
            # Who went back to see whether it worked finds the form filled in, with a new token.
            self.fields["again"].widget = forms.CheckboxInput()
            text = _("The same was granted within the last day: tick this to grant it once more.")
            self.add_error("again", text)

    @property
    def _same(self) -> QuerySet[Transfer]:
        """Grants of the last day that say what this form says."""
        return Transfer.objects.filter(
            kind=TransferKind.GRANT,
            credit_account__organisation=self.cleaned_data["organisation"],
            amount_nanos=self.amount_nanos,
            description=self.cleaned_data["reason"],
            created_at__gte=timezone.now() - SAME_GRANT_WITHIN,
        )

    @property
    def reference(self) -> str:
        """Of its transfer: the same form posts once."""
        return f"grant:console:{self.cleaned_data['form_token']}"

    @property
    def amount_nanos(self) -> int:
        amount: Decimal = self.cleaned_data["amount"]
        return int(amount * NANOS_PER_DOLLAR)


class PriceForm(forms.ModelForm[Price]):
    """A new price, in dollars per million tokens."""

    input_nanos_per_mtok = DollarsField(
        label=_("Input, US dollars per million tokens"), required=True
    )
    cached_input_nanos_per_mtok = DollarsField(
        label=_("Cached input, US dollars per million tokens"), required=True
    )
    output_nanos_per_mtok = DollarsField(
        label=_("Output, US dollars per million tokens"), required=True
    )
    flex_multiplier_bp = forms.IntegerField(
        label=_("Flex tier, in ten-thousandths of these"), min_value=0, max_value=BASIS_POINTS,
        initial=BASIS_POINTS, help_text=_("5000 is half the price."),
    )  # fmt: skip

    class Meta:
        model = Price
        fields: ClassVar = [
            "model",
            "input_nanos_per_mtok",
            "cached_input_nanos_per_mtok",
            "output_nanos_per_mtok",
            "flex_multiplier_bp",
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
