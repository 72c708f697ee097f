"""What the addresses of usage and requests may ask for, and how the things in them are called."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import ApiKey, Organisation, User
from billing.models import UsageRecord
from portal.pages import periods
from portal.pages.measures import Records

GROUPS = {"model": "model", "key": "api_key_id", "member": "user_id"}


class Names:
    """How an organisation's models, keys and members are called, also those that are gone."""

    def __init__(self, organisation: Organisation) -> None:
        self.organisation = organisation

    @cached_property
    def models(self) -> list[str]:
        used = UsageRecord.objects.filter(organisation=self.organisation)
        return sorted(used.order_by().values_list("model", flat=True).distinct())

    @cached_property
    def keys(self) -> dict[str, str]:
        keys = ApiKey.objects.filter(organisation=self.organisation).order_by("name", "created_at")
        return {str(key.pk): f"{key.name} (…{key.last_four})" for key in keys}

    @cached_property
    def members(self) -> dict[str, str]:
        """Members, and people who left but whose use is on record."""
        used = UsageRecord.objects.filter(organisation=self.organisation).exclude(user_id=None)
        ids: set[Any] = set(used.order_by().values_list("user_id", flat=True).distinct())
        ids |= set(self.organisation.memberships.values_list("user_id", flat=True))
        people = User.objects.filter(pk__in=ids).order_by("email")
        return {str(person.pk): person.email for person in people}

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        return {
            "model": [(name, name) for name in self.models],
            "key": list(self.keys.items()),
            "member": list(self.members.items()),
        }

    def of(self, group: str, value: object) -> str:
        """What to print for a value of a grouping's field."""
        if group == "model":
            return str(value)
        if value is None:
            return _("Playground") if group == "key" else _("No member")
        known = self.keys if group == "key" else self.members
        return known.get(str(value), _("Deleted"))


class RecordFilter(forms.Form):
    """What the address may say; anything else is told to the reader, not guessed."""

    range = forms.ChoiceField(
        required=False, choices=[(name, found.label) for name, found in periods.RANGES.items()]
    )
    model = forms.ChoiceField(label=gettext_lazy("Model"), required=False)
    key = forms.ChoiceField(label=gettext_lazy("Key"), required=False)
    member = forms.ChoiceField(label=gettext_lazy("Member"), required=False)

    def __init__(self, data: Mapping[str, Any], names: Names) -> None:
        super().__init__(data)
        everything = ("", _("All"))
        for field, choices in names.choices().items():
            self.fields[field].choices = [everything, *choices]  # type: ignore[attr-defined]

    def chosen(self, name: str, default: str = "") -> str:
        value: str = self.cleaned_data.get(name) or default
        return value

    def narrow(self, records: Records) -> Records:
        wanted = {field: self.chosen(name) for name, field in GROUPS.items()}
        return records.filter(**{field: value for field, value in wanted.items() if value})
