"""Where things stand in a JSON schema.

Tells its keywords from what is only called like one: the name of a property, a part of an enum.
Walks without recursion: schemas come from strangers, and nest.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

Step = str | int
Trail = tuple["Trail", Step] | None  # the steps to a place, the last one outside

# Beyond it neighbouring whole numbers are one float, which is how the grammar library keeps them.
LARGEST_WHOLE = 1 << 53
# Bounds beyond it cannot be enforced; `double` and `int64` of other languages have such bounds.
LARGEST_BOUND = 9 * 10**18
# The library takes no more for a length, and no text has more.
LARGEST_LENGTH = (1 << 32) - 1
COUNTS = {f"{bound}{of}" for bound in ("min", "max") for of in ("Length", "Items", "Properties")}
# In regular expressions: looking ahead or back, and references to what matched before.
_NOT_REGULAR = re.compile(r"\(\?<?[=!]|\\[1-9]|\\k<")
# Keywords whose members have names of the schema's author.
NAMING = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
# Keywords with values in which no schema stands.
VALUES = frozenset({"const", "default", "enum", "examples"})


class InexactNumberError(ValueError):
    """A whole number that would become another one. `steps` lead to it."""

    def __init__(self, number: int, steps: tuple[Step, ...]) -> None:
        """Say which one, and what is possible."""
        super().__init__(
            f"its number {str(number)[:40]} is beyond {LARGEST_WHOLE}, up to which whole numbers "
            "are exact"
        )
        self.steps = steps


def check_numbers(schema: Any) -> None:
    """Raise InexactNumberError for a value of `const` or `enum` that cannot be kept."""
    for trail, keyword, value in _keywords(schema):
        if keyword not in {"const", "enum"}:
            continue
        for place, number in _leaves(value, (trail, keyword)):
            if type(number) is int and abs(number) > LARGEST_WHOLE:
                raise InexactNumberError(number, _steps(place))


def spell_plainly(schema: Any) -> None:
    """Change what the library refuses for its spelling alone: 10.0 is a count, too. In place."""
    for _trail, node in _nodes(schema):
        if node.get("uniqueItems") is False:
            del node["uniqueItems"]
        for keyword in COUNTS & node.keys():
            if type(node[keyword]) is float and node[keyword].is_integer():
                node[keyword] = int(node[keyword])


def narrow_bounds(schema: Any) -> None:
    """Change bounds that cannot be kept to the next ones inwards that can: what fits still does.

    In place: the schema is the caller's own.
    """
    for _trail, node in _nodes(schema):
        for keyword, value in node.items():
            if type(value) not in {int, float}:
                continue
            if keyword in {"maximum", "exclusiveMaximum"}:
                node[keyword] = _at_most(value)
            elif keyword in {"minimum", "exclusiveMinimum"}:
                node[keyword] = -_at_most(-value)
            elif keyword == "maxLength":
                node[keyword] = min(value, LARGEST_LENGTH)


def drop_unenforceable(schema: Any) -> None:
    """Drop what the library refuses, or enforces as something else, where it may let it be.

    In place. A count of properties, some of them optional, it would have met by additional ones.
    """
    for _trail, node in _nodes(schema):
        if _NOT_REGULAR.search(str(node.get("pattern", ""))):
            del node["pattern"]
        if _has_optional_properties(node):
            node.pop("minProperties", None)
            node.pop("maxProperties", None)


def _has_optional_properties(node: dict[str, Any]) -> bool:
    named, required = node.get("properties"), node.get("required", [])
    if not isinstance(named, dict) or not isinstance(required, list):
        return False
    return any(name not in required for name in named)


def _at_most(value: float) -> float:
    """Return the largest number that can be kept and is no larger."""
    value = min(value, LARGEST_BOUND)
    if type(value) is float or abs(value) <= LARGEST_WHOLE:
        return value
    # One so far below that nothing is left is left to the library, which refuses it.
    near = float(max(value, -(10**30)))
    return int(near if near <= value else math.nextafter(near, -math.inf))


def find_keyword(schema: Any, wanted: str) -> tuple[Step, ...] | None:
    """Return the steps to the first such keyword, itself included; None when there is none."""
    found = ((trail, word) for trail, word, _value in _keywords(schema) if word == wanted)
    place = next(found, None)
    return _steps(place) if place is not None else None


def _keywords(schema: Any) -> Iterator[tuple[Trail, str, Any]]:
    """Every keyword of a schema and of those inside, with the steps to where it stands."""
    for trail, node in _nodes(schema):
        for keyword, value in node.items():
            yield trail, keyword, value


def _nodes(schema: Any) -> Iterator[tuple[Trail, dict[str, Any]]]:
    """A schema and those inside, each with the steps to it."""
    waiting: list[tuple[Trail, Any]] = [(None, schema)]
    while waiting:
        trail, node = waiting.pop()
        if isinstance(node, list):
            waiting += reversed(_parts(node, trail))
        elif isinstance(node, dict):
            yield trail, node
            inside: list[tuple[Trail, Any]] = []
            for keyword, value in node.items():
                if keyword in NAMING and isinstance(value, dict):
                    inside += _parts(value, (trail, keyword))
                elif keyword not in VALUES:
                    inside.append(((trail, keyword), value))
            waiting += reversed(inside)


def _leaves(value: Any, trail: Trail) -> Iterator[tuple[Trail, Any]]:
    waiting = [(trail, value)]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, dict | list):
            waiting += reversed(_parts(node, place))
        else:
            yield place, node


def _parts(node: dict[str, Any] | list[Any], trail: Trail) -> list[tuple[Trail, Any]]:
    steps = node.items() if isinstance(node, dict) else enumerate(node)
    return [((trail, step), part) for step, part in steps]


def _steps(trail: Trail) -> tuple[Step, ...]:
    steps: list[Step] = []
    while trail is not None:
        trail, step = trail
        steps.append(step)
    return tuple(reversed(steps))
