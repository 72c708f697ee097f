"""The sampling parameters as people meet them: name, meaning, range, what leaving it alone means.

The ranges are those of `playground.parameters.Parameters`, which is what refuses; a test compares.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise


@dataclass(frozen=True, slots=True)
class Parameter:
    """`kind`: a `number`, an `integer`, or `lines` (a list of texts). `default` "" is "unset"."""

    name: str
    label: Text
    meaning: Text
    default: str = ""
    low: str = ""
    high: str = ""
    step: str = "1"
    kind: str = "number"
    placeholder: Text = ""

    @property
    def has_slider(self) -> bool:
        return self.kind == "number"

    @property
    def range(self) -> str:
        return f"{self.low} – {self.high}" if self.low and self.high else ""


PARAMETERS = (
    Parameter(
        "temperature",
        _("Temperature"),
        _("How freely the next token is chosen. 0 always takes the likeliest one."),
        default="1", low="0", high="2", step="0.05",
    ),
    Parameter(
        "top_p",
        _("Top-p"),
        _("Choose only among the likeliest tokens that together make up this share. 1 keeps all."),
        default="1", low="0", high="1", step="0.01",
    ),
    Parameter(
        "top_k",
        _("Top-k"),
        _("Choose only among this many of the likeliest tokens. 0 keeps all."),
        default="0", low="0", high="2147483647", kind="integer",
    ),
    Parameter(
        "min_p",
        _("Min-p"),
        _("Drop tokens less likely than this share of the likeliest one. 0 keeps all."),
        default="0", low="0", high="1", step="0.01",
    ),
    Parameter(
        "max_tokens",
        _("Max tokens"),
        _("The answer ends after this many tokens. Empty: what fits; for a completion 16."),
        low="1", high="2147483647", kind="integer", placeholder=_("what fits"),
    ),
    Parameter(
        "stop",
        _("Stop sequences"),
        _("The answer ends before one of these texts: up to four, one a line."),
        kind="lines",
    ),
    Parameter(
        "presence_penalty",
        _("Presence penalty"),
        _("Above 0, tokens that have not appeared yet become more likely."),
        default="0", low="-2", high="2", step="0.1",
    ),
    Parameter(
        "frequency_penalty",
        _("Frequency penalty"),
        _("Above 0, tokens become less likely the more often they have appeared."),
        default="0", low="-2", high="2", step="0.1",
    ),
    Parameter(
        "repetition_penalty",
        _("Repetition penalty"),
        _("Above 1, tokens already in the prompt or the answer become less likely."),
        default="1", low="0.01", high="10", step="0.01",
    ),
    Parameter(
        "seed",
        _("Seed"),
        _("The same seed draws the same random numbers. Empty: different ones each time."),
        low="-9223372036854775808", high="9223372036854775807",
        kind="integer", placeholder=_("random"),
    ),
)  # fmt: skip
