"""Pieces of grammars in llguidance's dialect of Lark.

Knows the dialect, not the library: whoever asks for a grammar writes it with these, and
`grammar.py` compiles it.
"""

import json
from typing import Any

from inference.engine.schemas import check_numbers, drop_unenforceable, narrow_bounds, spell_plainly

# Between the parts of a JSON text: room to indent, and an end to it. A model that is at a loss
# would otherwise write spaces until its tokens run out.
WHITESPACE = r"\n?[ ]{0,32}"


def literal(text: str) -> str:
    """Return what stands for exactly this text."""
    return json.dumps(text)


def json_rule(schema: Any, *, lenient: bool = False) -> str:
    """Return what stands for a JSON value that fits a schema, which may be changed for that.

    ValueError when it is no schema, or has a number that would become another one.
    """
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        raise ValueError("a JSON schema is an object")
    check_numbers(schema)
    spell_plainly(schema)
    narrow_bounds(schema)
    if lenient:
        drop_unenforceable(schema)
    options = {"whitespace_pattern": WHITESPACE, "lenient": lenient}
    return "%json " + json.dumps({**schema, "x-guidance": options})
