"""What an answer has to look like, as a `Constraint`: what every face makes of its own words.

The schemas inside are looked at by the engine alone, which names what it cannot enforce.
"""

import json
from typing import Any

from inference.engine.params import Grammar, GrammarKind
from inference.errors import invalid
from inference.spec import Constraint

ANY_OBJECT = {"type": "object"}


def schema_constraint(schema: dict[str, Any], param: str, *, lenient: bool) -> Constraint:
    return constraint_of("json_schema", as_text(schema), param, lenient=lenient)


def any_object(param: str) -> Constraint:
    return schema_constraint(ANY_OBJECT, param, lenient=False)


def constraint_of(
    kind: GrammarKind, source: str, param: str, *, lenient: bool = False
) -> Constraint:
    try:
        return Constraint(Grammar(kind, source, lenient), param)
    except ValueError as error:
        raise invalid(f"Invalid value for '{param}': {error}.", param, "invalid_value") from None


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
