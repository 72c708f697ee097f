"""CSV that is safe to open: text stays text, numbers stay numbers."""

import csv

import pytest

from portal.lib.spreadsheets import csv_line


@pytest.mark.parametrize("text", ["=1+1", "+1 2", "-2+3", "@cmd", "\t=1", "\r=1", "--1", "-"])
def test_what_would_run_as_a_formula_does_not(text: str) -> None:
    assert next(csv.reader([csv_line([text])])) == [f"'{text}"]


@pytest.mark.parametrize("value", [5, -5, "-0.00012", "4.5", "a=b", "it's", "", 'say "hi", friend'])
def test_everything_else_is_as_it_was(value: object) -> None:
    assert next(csv.reader([csv_line([value])])) == [str(value)]
