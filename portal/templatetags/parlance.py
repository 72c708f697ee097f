"""How templates print numbers, money, times and words; a builtin, so never loaded.

Money arrives as integer nanos and times as milliseconds; nothing is rounded without saying so.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from auditlog.models import LogEntry
from django import template
from django.forms import BoundField, CheckboxInput
from django.templatetags.static import static
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from portal.lib.money import format_dollars
from portal.pages import words

register = template.Library()

NOTHING = "–"
SMALLEST_ROUNDED_NANOS = 100_000  # below $0.0001 every digit is shown
FEW_A_SECOND = 100  # below that a tenth tells something
# From which count on, how many decimals, what is written behind: as a language counts.
IN_THREES = ((10**9, 2, "B"), (10**6, 2, "M"), (10**3, 1, "k"))
IN_FOURS = ((10**8, 2, "亿"), (10**4, 2, "万"))


@register.filter
def nanos(value: int | None) -> str:
    """An amount to the last nano-dollar: `$0.00000025`."""
    return NOTHING if value is None else format_dollars(int(value))


@register.filter
def dollars(value: int | None, places: int | None = None) -> str:
    """An amount for the eye: at most four decimals (`$4.9987`), or exactly `places` of them."""
    if value is None:
        return NOTHING
    amount = int(value)
    if places is not None:
        return format_dollars(amount, places=int(places))
    if 0 < abs(amount) < SMALLEST_ROUNDED_NANOS:
        return format_dollars(amount)
    whole, _dot, decimals = format_dollars(amount, places=4).partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


@register.filter
def balance(value: int | None) -> str:
    """What is left, rounded down: it never looks like more. The playground's `balance` agrees."""
    if value is None:
        return NOTHING
    amount = int(value)
    return format_dollars(
        amount
        if amount < SMALLEST_ROUNDED_NANOS
        else amount // SMALLEST_ROUNDED_NANOS * SMALLEST_ROUNDED_NANOS
    )


@register.filter
def number(value: float | None) -> str:
    """A count with the digits grouped: `12,345`."""
    if value is None:
        return NOTHING
    return number_format(value, decimal_pos=0, use_l10n=True, force_grouping=True)


@register.filter
def rate(value: float | None) -> str:
    """How many a second: `12.3`, `1,147`. The playground's `rate` agrees."""
    if value is None:
        return NOTHING
    places = 1 if value < FEW_A_SECOND else 0
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return number_format(rounded, decimal_pos=places, use_l10n=True, force_grouping=True)


@register.filter
def limit(value: int) -> str:
    """A rate limit, of which 0 means that there is none."""
    return number(value) if value else _("no limit")


@register.filter
def tokens(value: int | None) -> str:
    """A count of tokens, short where it is long: `812`, `12.3k`, `4.56M`; in Chinese `1.23万`."""
    if value is None:
        return NOTHING
    amount = int(value)
    if amount < 10_000:
        return number(amount)
    in_fours = (get_language() or "").startswith("zh")
    size, places, unit = next(
        row for row in (IN_FOURS if in_fours else IN_THREES) if amount >= row[0]
    )
    return f"{amount / size:.{places}f}{unit}"


@register.filter
def ms(value: float | None) -> str:
    """A duration given in milliseconds: `84 ms`, `1.24 s`, `2 min 5 s`."""
    if value is None:
        return NOTHING
    if value < 1_000:
        return f"{value:.0f} ms"
    if value < 60_000:
        return f"{value / 1_000:.2f} s"
    minutes, seconds = divmod(round(value / 1_000), 60)
    return _("%(minutes)s min %(seconds)s s") % {"minutes": minutes, "seconds": seconds}


@register.filter
def percent(value: float | None, places: int = 1) -> str:
    """A share between 0 and 1: `12.5%`."""
    return NOTHING if value is None else f"{value * 100:.{int(places)}f}%"


@register.filter
def iso(value: datetime) -> str:
    """What a `datetime` attribute holds."""
    return value.isoformat(timespec="milliseconds")


@register.filter
def changed_fields(entry: LogEntry) -> str:
    """The names of what an entry of the audit log changed; a visit's reason; a link."""
    if visit := entry.changes_dict.get("operator_visit"):
        return _("Operator's visit, ended") if visit[0] else _("Operator's visit: %s") % visit[1]
    if link := entry.changes_dict.get("public_link"):
        made = link[0] == "made"
        sentence = _("Public link made: %s") if made else _("Public link withdrawn: %s")
        return sentence % reverse("playground_shared", args=[link[1]])
    fields = {field.name: field for field in entry.content_type.model_class()._meta.get_fields()}
    names = [
        words.AUDITED.get(name) or getattr(fields.get(name), "verbose_name", name)
        for name in entry.changes_dict
    ]
    return ", ".join(map(str, names))


@register.filter
def capability_words(capabilities: Sequence[str]) -> list[str]:
    """What a model can do, in words; a name that has none stands for itself."""
    return [str(words.CAPABILITIES.get(name, name)) for name in capabilities]


@register.filter
def is_checkbox(field: BoundField) -> bool:
    return isinstance(field.field.widget, CheckboxInput)


@register.simple_tag
def icon(name: str) -> str:
    """A picture from `static/icons.svg`, decoration only: the text beside it says the same."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("icons.svg"),
        name,
    )
