"""What schemas say that the grammar library cannot keep: what is let through fits all the same.

Where it may be let be (`lenient`), it is.
"""

from typing import Any

import pytest

from inference.engine.grammar import Grammars, Vocabulary
from tests.inference.engine.grammars import schema

BYTES = tuple(bytes([byte]) for byte in range(256))
END = 256
INT64 = 2**63


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    """Every text is spelled by its bytes."""
    return Grammars(Vocabulary((*BYTES, b""), (END,), (END,), END + 1))


def takes(grammars: Grammars, wanted: dict[str, Any], text: str, **options: bool) -> bool:
    matcher = grammars.compile(schema(wanted, **options)).start()
    return all(map(matcher.consume_token, text.encode())) and matcher.is_accepting()


@pytest.mark.parametrize("bound", [2**53 + 1, 2**53 + 3, 2**60 + 1, INT64 - 1, INT64, 10**30])
@pytest.mark.parametrize("keyword", ["maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"])
@pytest.mark.parametrize("sign", [1, -1])
def test_no_whole_number_beyond_its_bound_is_let_through(
    grammars: Grammars, keyword: str, bound: int, sign: int
) -> None:
    bound *= sign
    upper, exclusive = keyword in {"maximum", "exclusiveMaximum"}, keyword.startswith("ex")
    wanted = {"type": "integer", keyword: bound}
    for distance in (0, 1, 2, 3, 127, 129, 511, 513, 1024, 1025, 2048):
        number = bound + distance if upper else bound - distance
        if distance or exclusive:
            try:
                assert not takes(grammars, wanted, str(number)), number
            except ValueError:  # nothing is left that could be kept
                return


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"type": "integer", "minimum": -INT64, "maximum": INT64 - 1}, [0, -(10**18), 9 * 10**18]),
        ({"type": "integer", "minimum": 10**17, "maximum": INT64 - 1}, [10**17, 1_863 * 10**15]),
        ({"type": "integer", "maximum": 2**53 + 1}, [2**53, -5]),
        ({"type": "integer", "minimum": 2**53 + 1}, [2**53 + 2]),
        (
            {"type": "number", "minimum": -1.7976931348623157e308, "maximum": 1e300},
            [0.5, -(10**18)],
        ),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 3.4028235e38}, [0.5, 10**18]),
        ({"type": "number", "minimum": 0, "maximum": 10**400}, [0, 10**18]),
        ({"type": "number", "minimum": -0.5, "exclusiveMaximum": 1.5}, [-0.5, 1.25]),
    ],
)
def test_bounds_of_other_languages_types_are_enforced(
    grammars: Grammars, wanted: dict[str, Any], fits: list[float]
) -> None:
    assert [number for number in fits if not takes(grammars, wanted, str(number))] == []


def test_a_length_beyond_what_the_library_takes_is_none(grammars: Grammars) -> None:
    assert takes(grammars, {"type": "string", "maxLength": INT64 - 1}, '"a"')


@pytest.mark.parametrize(
    ("wanted", "fits", "does_not"),
    [
        ({"type": "string", "minLength": 1.0, "maxLength": 2.0}, '"ab"', '"abc"'),
        ({"type": "array", "minItems": 1.0, "maxItems": 2.0, "items": {"const": 1}}, "[1,1]", "[]"),
        ({"type": "object", "minProperties": 1.0, "maxProperties": 1e0}, '{"a":1}', "{}"),
        ({"type": "array", "uniqueItems": False, "items": {"const": 1}}, "[1,1]", "[2]"),
    ],
)
def test_what_another_library_writes_in_its_own_way_is_as_good(
    grammars: Grammars, wanted: dict[str, Any], fits: str, does_not: str
) -> None:
    assert takes(grammars, wanted, fits)
    assert not takes(grammars, wanted, does_not)


def test_what_is_only_called_like_a_bound_is_let_be(grammars: Grammars) -> None:
    wanted = {
        "type": "object",
        "properties": {"maximum": {"const": 1}},
        "required": ["maximum"],
        "additionalProperties": False,
    }
    assert takes(grammars, wanted, '{"maximum":1}')
    named = {"enum": [{"maximum": 1e20}]}
    assert takes(grammars, named, '{"maximum":100000000000000000000}')


def test_bounds_between_which_no_number_can_be_kept_are_refused(grammars: Grammars) -> None:
    with pytest.raises(ValueError, match="no number between its bounds"):
        grammars.compile(schema({"type": "integer", "minimum": 10**30}))


OPTIONAL = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({**OPTIONAL, "minProperties": 1}, '{"a":1}'),
        ({"anyOf": [{**OPTIONAL, "maxProperties": 1}]}, '{"a":1}'),
        ({"type": "string", "pattern": "^(?=.*[0-9]).{8,}$"}, '"password"'),
        ({"type": "object", "properties": {"x": {"pattern": "^(?!www)"}}}, '{"x":"www"}'),
        ({"type": "string", "pattern": r"^(.)\1$"}, '"ab"'),
    ],
)
def test_what_cannot_be_enforced_is_let_be_without_strict(
    grammars: Grammars, wanted: dict[str, Any], text: str
) -> None:
    assert takes(grammars, wanted, text, lenient=True)
    with pytest.raises(ValueError, match=r"(only supported|not supported)"):
        grammars.compile(schema(wanted))


def test_what_can_be_enforced_is_without_strict(grammars: Grammars) -> None:
    wanted = {
        "type": "object",
        "properties": {"pattern": {"pattern": "^[a-z]$"}},
        "required": ["pattern"],
        "maxProperties": 1,
    }
    assert takes(grammars, wanted, '{"pattern":"a"}', lenient=True)
    assert not takes(grammars, wanted, '{"pattern":"1"}', lenient=True)
    assert not takes(grammars, wanted, '{"pattern":"a","b":1}', lenient=True)


@pytest.mark.parametrize("text", [r'{"a":1,"\u0061":"x"}', '{"b":1,"b":2}'])
def test_keys_that_are_not_named_may_spell_others_as_the_docs_say(
    grammars: Grammars, text: str
) -> None:
    """When the library keeps them apart, the docs need not say so any more."""
    named = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert takes(grammars, named, text)
    assert not takes(grammars, {**named, "additionalProperties": False}, text)
    assert not takes(grammars, named, '{"a":1,"a":2}')
