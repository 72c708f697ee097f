"""The JSON parser refuses what it should, names the field, and stays linear."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.lib import strict_json
from portal.lib.strict_json import StrictJSONError, parse, parse_object

REFUSED = [
    (b'{"a": 1, "a": 2}', "a", "twice"),
    (b'{"m": [{"c": "x"}, {"c": NaN}]}', "m[1].c", "NaN"),
    (b'{"temperature": Infinity}', "temperature", "Infinity"),
    (b'{"temperature": -Infinity}', "temperature", "Infinity"),
    (b'{"m": {"t": 1e400}}', "m.t", "out of range"),
    (b'{"a": "\\u0000"}', "a", "NUL"),
    (b'{"a": {"\\u0000": 1}}', "a", "NUL"),
    (b'{"a": "\x00"}', "a", "control character"),
    (b'{"a": ["x", "\\ud83d"]}', "a[1]", "surrogate"),
    (b'{"a": "\\udc00\\ud800"}', "a", "surrogate"),
    (b'{"a": "\xff"}', None, "UTF-8"),
    (b'{"a": "\xed\xa0\x80"}', None, "UTF-8"),
    ('{"max_tokens": ５}'.encode(), "max_tokens", "not JSON"),
    (b'{"a": 1,}', None, "not JSON"),
    (b'{"a": 01}', "a", "not JSON"),
    (b'{"a": "x', "a", "not JSON"),
    (b"{'a': 1}", None, "not JSON"),
    (b"", None, "is empty"),
    (b" \n", None, "is empty"),
    (b"\xef\xbb\xbf{}", None, "byte order mark"),
    ("{}".encode("utf-16"), None, "UTF-16"),
    (b'{"a": ' + b"9" * 5000 + b"}", None, "too many digits"),
    (b"[" * 65 + b"]" * 65, None, "deeper"),
    (b"[" * 100_000, None, "arrays and objects"),
    (b'{"a":' * 5000, None, "deeper"),
    (b"[" + b"[]," * 20_000 + b"[]]", None, "arrays and objects"),
]


@pytest.mark.parametrize(("raw", "param", "reason"), REFUSED)
def test_it_refuses_with_a_sentence_and_the_field(raw: bytes, param: str, reason: str) -> None:
    with pytest.raises(StrictJSONError) as refusal:
        parse(raw)
    assert reason in refusal.value.message
    assert refusal.value.param == param


def test_it_refuses_more_than_ten_thousand_keys() -> None:
    def body(keys: int) -> bytes:
        return json.dumps({str(key): 1 for key in range(keys)}).encode()

    assert len(parse_object(body(10_000))) == 10_000
    with pytest.raises(StrictJSONError, match="more than 10,000 keys"):
        parse(body(10_001))


def test_it_refuses_more_values_than_a_request_may_have() -> None:
    def body(values: int) -> bytes:
        return b"[%b]" % b",".join([b"1"] * values)

    assert len(parse(body(400_000))) == 400_000
    with pytest.raises(StrictJSONError, match="more than 400,000 values"):
        parse(body(400_001))
    assert parse(b'"%b"' % (b"," * 1_000_000)) == "," * 1_000_000


def test_it_wants_an_object() -> None:
    with pytest.raises(StrictJSONError, match="must be a JSON object"):
        parse_object(b"[]")


def test_it_accepts_what_only_looks_wrong() -> None:
    text = r'{"a": "\\u0000 NaN [[{:", "b": "\ud83d\ude00", "n": -1.5e3, "deep": '
    body = text + "[" * 63 + "]" * 63 + "}"
    parsed = parse_object(body.encode())
    assert parsed["a"] == "\\u0000 NaN [[{:"
    assert parsed["b"] == "😀"
    assert parsed["n"] == -1500


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | FLOATS,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)  # fmt: skip
def test_it_agrees_with_the_standard_parser(value: object) -> None:
    for ascii_only in (True, False):
        raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        if "\\u0000" in json.dumps(value):
            continue
        assert parse(raw) == value


@given(st.binary(max_size=200))
def test_it_never_raises_anything_else(raw: bytes) -> None:
    with contextlib.suppress(StrictJSONError):
        parse(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'"' + b'\\"' * 500_000,
        b'["' + b"\\" * 1_000_001,
        b"[" + b'"",' * 300_000 + b'""]',
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'{"a":"' + b"\\ud83d\\ude00" * 80_000 + b'"}',
    ],
)
def test_its_time_grows_with_the_length_alone(raw: bytes) -> None:
    begun = time.perf_counter()
    with contextlib.suppress(StrictJSONError):
        parse(raw)
    # A quadratic scan of a megabyte takes minutes; the bound is loose for a busy machine.
    assert time.perf_counter() - begun < 5


def test_an_ordinary_text_is_read_without_a_search_for_its_strings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strict_json, "_STRING", None)
    ordinary, doubtful = ({"a": 'say "' + last + '"'} for last in ("NAN", "NaN"))
    assert parse(json.dumps(ordinary).encode()) == ordinary
    with pytest.raises(AttributeError):
        parse(json.dumps(doubtful).encode())
