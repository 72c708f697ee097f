"""The organisation's requests, one by one, and the sum each was billed by."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts.models import Organisation
from accounts.permissions import KEY_MAKERS, member_required
from billing import pricing
from billing.models import Outcome, ServiceTier, UsageRecord
from inference.log import bodies, metadata
from inference.spec import tokens_per_s
from portal.lib.money import (
    BASIS_POINTS,
    NANOS_PER_DOLLAR,
    TOKENS_PER_PRICE_UNIT,
    dollar_sign,
)
from portal.pages import periods, words
from portal.pages.filters import Names, RecordFilter
from portal.pages.measures import Records

PER_PAGE = 50
CHAT, COMPLETION = "chat.completions", "completions"  # what the playground can go on from
BODY_READERS = KEY_MAKERS  # a key reads them through the API as well


class RequestFilter(RecordFilter):
    status = forms.ChoiceField(
        label=gettext_lazy("Status"),
        required=False,
        choices=[("", gettext_lazy("All")), *Outcome.choices],
    )
    face = forms.ChoiceField(
        label=gettext_lazy("From"),
        required=False,
        choices=[
            ("", gettext_lazy("Everywhere")),
            ("api", gettext_lazy("API")),
            ("playground", gettext_lazy("Playground")),
        ],
    )
    request = forms.CharField(label=gettext_lazy("Request id"), required=False, max_length=40)
    metadata = forms.CharField(
        label=gettext_lazy("Metadata"),
        required=False,
        max_length=577,
        widget=forms.TextInput(attrs={"placeholder": "key=value"}),
    )
    page = forms.IntegerField(required=False, min_value=1, max_value=100_000)
    newest = forms.CharField(required=False, max_length=40)  # the request that page 1 began with

    def __init__(self, data: Mapping[str, Any], names: Names) -> None:
        super().__init__(data, names)
        self.organisation = names.organisation
        anytime = ("", gettext_lazy("Any time"))
        ranges = [(name, found.label) for name, found in periods.RANGES.items()]
        self.fields["range"].choices = [anytime, *ranges]  # type: ignore[attr-defined]
        self.fields["range"].label = gettext_lazy("Last")

    def narrow(self, records: Records) -> Records:
        found = super().narrow(records)
        exact = {"outcome": "status", "face": "face", "request_id": "request"}
        wanted = {field: self.chosen(name).strip() for field, name in exact.items()}
        found = found.filter(**{field: value for field, value in wanted.items() if value})
        if pair := self.chosen("metadata"):
            return found.filter(request_id__in=metadata.requests_with(self.organisation, pair))
        return found

    def clean_metadata(self) -> str:
        pair: str = self.cleaned_data["metadata"]
        if pair and "=" not in pair:
            raise forms.ValidationError(_("Write a pair as key=value."))
        return pair


@require_safe
@member_required()
def requests(request: HttpRequest) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    names = Names(organisation)
    form = RequestFilter(request.GET, names)
    if not form.is_valid():
        return render(request, "pages/requests.html", {"form": form, "refused": True}, status=400)
    zone = periods.zone_of(request.user.time_zone)  # type: ignore[union-attr]
    mine = UsageRecord.objects.filter(organisation=organisation)
    records = form.narrow(mine)
    if form.chosen("range"):
        period = periods.period(periods.RANGES[form.chosen("range")], zone)
        records = records.filter(created_at__gte=period.begin)
    named = form.chosen("newest")
    newest = mine.filter(request_id=named).first() if named else None
    if newest:
        records = records.filter(created_at__lte=newest.created_at)
    paginator = Paginator(records.order_by("-created_at", "-pk"), PER_PAGE)
    page = paginator.get_page(form.cleaned_data["page"])
    if newest is None and page.number == 1:
        newest = next(iter(page), None)
    pairs = metadata.of(organisation, [record.request_id for record in page])
    context = {
        "form": form,
        "zone": zone,
        "page_obj": page,
        "newest": newest.request_id if newest else "",
        "rows": [
            (record, names.of("key", record.api_key_id), pairs.get(record.request_id, {}))
            for record in page
        ],
        "empty": not mine.exists(),
    }
    live = request.headers.get("X-Fragment") == "live-requests"
    return render(request, "pages/_requests.html" if live else "pages/requests.html", context)


@dataclass(frozen=True)
class Meter:
    """One line of the sum: tokens of a kind at their price."""

    label: str
    tokens: int
    nanos_per_mtok: int

    @property
    def dollars(self) -> str:
        return exact_dollars(Decimal(self.tokens * self.nanos_per_mtok) / TOKENS_PER_PRICE_UNIT)


@dataclass(frozen=True)
class Sum:
    """How a record's cost follows from its tokens."""

    meters: tuple[Meter, ...]
    multiplier_bp: int
    charged_nanos: int
    flex_percent: str  # of the price, where the request was of the flex tier
    rate_percent: str  # the organisation's

    @property
    def subtotal(self) -> Decimal:
        whole = sum(meter.tokens * meter.nanos_per_mtok for meter in self.meters)
        return Decimal(whole) / TOKENS_PER_PRICE_UNIT

    @property
    def before_rounding(self) -> Decimal:
        return self.subtotal * self.multiplier_bp / BASIS_POINTS

    @property
    def rounded_nanos(self) -> int:
        """Rounded once, up, to the next nano-dollar."""
        return int(self.before_rounding.to_integral_value(rounding="ROUND_CEILING"))

    @property
    def subtotal_dollars(self) -> str:
        return exact_dollars(self.subtotal)

    @property
    def before_rounding_dollars(self) -> str:
        return exact_dollars(self.before_rounding)

    @property
    def is_list_price(self) -> bool:
        return self.multiplier_bp == BASIS_POINTS

    @property
    def multiplier(self) -> str:
        return f"{Decimal(self.multiplier_bp) / BASIS_POINTS:f}"


def exact_dollars(nanos: Decimal) -> str:
    """Dollars with every digit there is: fractions of a nano-dollar too."""
    whole, _dot, decimals = f"{nanos / NANOS_PER_DOLLAR:f}".partition(".")
    return f"{dollar_sign()}{int(whole):,}.{decimals.rstrip('0').ljust(2, '0')}"


@require_safe
@member_required()
def request_detail(request: HttpRequest, request_id: str) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    mine = UsageRecord.objects.filter(organisation=organisation).select_related("price")
    record = get_object_or_404(mine, request_id=request_id)
    names = Names(organisation)
    kept = bodies_of(request, record)
    context = {
        "record": record,
        "zone": periods.zone_of(request.user.time_zone),  # type: ignore[union-attr]
        "key_name": names.of("key", record.api_key_id),
        "member": names.of("member", record.user_id) if record.user_id else "",
        "error": words.of_error(record.error),
        "finish_reason": words.of_finish_reason(record.finish_reason),
        "tokens_per_s": speed_of(record),
        "sum": sum_of(record),
        "metadata": metadata.of(organisation, [request_id]).get(request_id, {}),
        "bodies": kept,
        "reopens": bool(kept) and record.endpoint in {CHAT, COMPLETION},
    }
    in_drawer = request.headers.get("X-Fragment") == "request"
    page = "pages/_request.html" if in_drawer else "pages/request_detail.html"
    return render(request, page, context)


@dataclass(frozen=True)
class BodyText:
    """One kept body, as text; `kept` is shorter than `whole` (bytes) when it was cut."""

    label: str
    text: str
    kept: int
    whole: int


def bodies_of(request: HttpRequest, record: UsageRecord) -> tuple[BodyText, ...] | None:
    """Request and answer when they are kept; None when this member may not see them."""
    if request.membership.role not in BODY_READERS:  # type: ignore[attr-defined]
        return None
    found = bodies.read(record.organisation_id, record.request_id)
    if found is None:
        return ()
    return tuple(
        BodyText(label, text.decode(errors="replace"), len(text), whole)
        for label, text, whole in (
            (_("Request"), found.request, found.request_bytes),
            (_("Answer"), found.answer, found.answer_bytes),
        )
    )


def sum_of(record: UsageRecord) -> Sum:
    price = record.price
    return Sum(
        (
            Meter(_("Input"), record.uncached_tokens, price.input_nanos_per_mtok),
            Meter(_("Cached input"), record.cached_tokens, price.cached_input_nanos_per_mtok),
            Meter(_("Output"), record.output_tokens, price.output_nanos_per_mtok),
        ),
        record.multiplier_bp,
        record.cost_nanos,
        pricing.sheet(price).flex_percent if record.service_tier == ServiceTier.FLEX else "",
        f"{Decimal(record.rate_bp or BASIS_POINTS) / 100:f}",
    )


def speed_of(record: UsageRecord) -> float | None:
    """What the playground told of it; of older records, by the time after the first token."""
    decode_ms = record.decode_ms
    if decode_ms is None and record.ttft_ms is not None:
        decode_ms = record.duration_ms - record.ttft_ms
    return tokens_per_s(record.output_tokens, decode_ms)
