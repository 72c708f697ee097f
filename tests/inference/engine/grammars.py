"""Grammars for tests: what strangers may send, and what a text may be checked against."""

import json
import random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from inference.engine.grammar import CompiledGrammar
from inference.engine.params import Grammar


def schema(value: Any, **options: Any) -> Grammar:
    return Grammar("json_schema", json.dumps(value), **options)


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "pets": {"type": "array", "items": {"enum": ["cat", "dog"]}, "maxItems": 2},
    },
    "required": ["name", "age", "pets"],
    "additionalProperties": False,
}


def _nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = {"type": "object", "properties": {"a": leaf}, "required": ["a"]}
    return leaf


def _crossed(width: int) -> Any:
    options = [
        [{"type": "object", "properties": {f"a{i}": {"const": j}}} for j in range(4)]
        for i in range(width)
    ]
    return {"allOf": [{"anyOf": option} for option in options]}


def _doubling(depth: int) -> Any:
    value: Any = {"type": "string"}
    for _ in range(depth):
        value = {"anyOf": [value, {"type": "array", "items": value}]}
    return value


def _reference_chain(length: int) -> Any:
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for n in range(1, length):
        definitions[f"d{n}"] = {"$ref": f"#/$defs/d{n - 1}"}
    return {"$ref": f"#/$defs/d{length - 1}", "$defs": definitions}


def _doubling_references(depth: int) -> Any:
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for n in range(1, depth):
        reference = {"$ref": f"#/$defs/d{n - 1}"}
        definitions[f"d{n}"] = {"type": "object", "properties": {"x": reference, "y": reference}}
    return {"$ref": f"#/$defs/d{depth - 1}", "$defs": definitions}


def _pattern(pattern: str) -> Grammar:
    return schema({"type": "string", "pattern": pattern})


HARD = {
    "deep nesting": schema(_nested(60, {"type": "integer"})),
    "very deep nesting": schema(_nested(400, {"type": "integer"})),
    "a large enum": schema({"enum": [f"value-{n}" for n in range(9000)]}),
    "long enum values": schema({"enum": ["x" * 1000 + str(n) for n in range(100)]}),
    "many optional properties": schema({"properties": {f"p{n}": {} for n in range(4000)}}),
    "alternatives that double": schema(_doubling(9)),
    "a cross product": schema(_crossed(8)),
    "a smaller cross product": schema(_crossed(4)),
    "references that double": schema(_doubling_references(40)),
    "a long chain of references": schema(_reference_chain(2500)),
    "a reference to itself": schema({"$ref": "#"}),
    "a circle of references": schema(
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    ),
    "endless recursion": schema({"properties": {"next": {"$ref": "#"}}, "required": ["next"]}),
    "a huge divisor": schema({"type": "integer", "multipleOf": 999_983}),
    "a huge length": schema({"type": "string", "minLength": 10**9}),
    "a huge array": schema({"type": "array", "items": {"type": "string"}, "minItems": 10**9}),
    "an exponential pattern": _pattern("(a+)+b"),
    "a pattern of nested counts": _pattern("((a{0,100}){0,100}){0,100}"),
    "a pattern of letters of every script": _pattern("^(\\p{L}{1,200}\\d{1,200}){1,50}$"),
    "an exponential regex": Grammar("regex", "(x+x+)+y"),
    "nested counts": Grammar("regex", "((a{0,100}){0,100}){0,100}"),
    "a million": Grammar("regex", "a{1000000}"),
    "a long choice of a regex": Grammar("regex", "|".join(f"word{n}" for n in range(9000))),
    "much memory": Grammar("regex", ".*a.{200}.*b.{200}"),
    "many states": Grammar("regex", "(.{0,300}a){20}b"),
    "deep brackets": Grammar("regex", "(" * 5000 + "a" + ")" * 5000),
    "a large choice": Grammar("choices", json.dumps([f"choice {n}" for n in range(6000)])),
}

REFUSED = {
    "'$ref' may only refer": schema({"$ref": "https://example.com/schema.json"}),
    "'$ref' may only refer to": schema({"$ref": "file:///etc/passwd"}),
    "'/$defs/nope' does not exist": schema({"$ref": "#/$defs/nope"}),
    "cannot be enforced: 'not'": schema({"properties": {"a": {"not": {"type": "string"}}}}),
    "cannot be enforced: 'if', 'then'": schema({"if": {}, "then": {"minLength": 3}}),
    "Unknown format: zzz": schema({"type": "string", "format": "zzz"}),
    "use 'anyOf'": schema({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
    "Invalid type: strin": schema({"type": "strin"}),
    "minLength (5) is greater than maxLength (2)": schema(
        {"type": "string", "minLength": 5, "maxLength": 2}
    ),
    "anyOf is empty": schema({"enum": []}),
    "a JSON schema is an object": schema([]),
    "it is not JSON": Grammar("json_schema", "{"),
    "look-around": Grammar("regex", "(?=a)b"),
    "backreferences": Grammar("regex", "(a)\\1"),
    "unclosed group": Grammar("regex", "(a"),
    "no text fits it": Grammar("regex", "[^\\s\\S]"),
    "at least one string": Grammar("choices", "[]"),
    "every choice is a string": Grammar("choices", '["a", 1]'),
}


def _objects(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.text(max_size=3).filter(lambda text: "\0" not in text)
    return st.dictionaries(names, parts, min_size=1, max_size=3).flatmap(
        lambda properties: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(properties),
                "required": st.lists(st.sampled_from(sorted(properties)), unique=True),
                "additionalProperties": st.just(False),
            }
        )
    )


_LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["boolean", "null"])}),
    st.integers(-300, 300).map(lambda low: {"type": "integer", "minimum": low, "maximum": low + 9}),
    st.integers(0, 5).map(lambda low: {"type": "string", "minLength": low, "maxLength": low + 3}),
    st.lists(st.text(max_size=3) | st.integers(-9, 9) | st.none(), min_size=1, max_size=3).map(
        lambda values: {"enum": values}
    ),
    st.sampled_from(["^[a-c]+[0-9]{2}$", "x?y", "^é"]).map(
        lambda pattern: {"type": "string", "pattern": pattern, "maxLength": 9}
    ),
)
# Every text of these is finite and short.
SCHEMAS = st.recursive(
    _LEAVES,
    lambda parts: (
        _objects(parts)
        | parts.map(lambda items: {"type": "array", "items": items, "maxItems": 2})
        | st.lists(parts, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    ),
    max_leaves=6,
)


def follow_at_random(compiled: CompiledGrammar) -> None:
    """Let ten texts come to states of the grammar."""
    draw = random.Random(0)
    for _ in range(10):
        matcher = compiled.start()
        for _ in range(300):
            bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
            allowed = np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist()
            if matcher.is_stopped() or not matcher.consume_token(draw.choice(allowed)):
                break
