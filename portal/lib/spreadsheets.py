"""CSV for people's spreadsheets: what somebody typed stays text there, whatever it begins with."""

import csv
import io
import re
from collections.abc import Iterable

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?\Z")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_line(values: Iterable[object]) -> str:
    """One line; numbers as they are, text that would run as a formula behind an apostrophe."""
    written = io.StringIO()
    csv.writer(written).writerow([_inert(str(value)) for value in values])
    return written.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _NUMBER.match(text) else text
