"""The small language in which the corpus is written.

`[a|b|c]` is one of its alternatives (they nest; an empty one is allowed) and `{name}` is a slot;
`<<` and `>>` are literal brackets. All choices come from the generator that is passed in, so one
seed always gives one text.
"""

import random
import re
from collections.abc import Mapping, Sequence

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")


def expand(rng: random.Random, template: str, slots: Mapping[str, str] | None = None) -> str:
    """The template with every choice made and every slot filled. KeyError names a missing slot."""
    while _CHOICE.search(template):
        template = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), template)
    if slots is not None:
        template = _SLOT.sub(lambda match: slots[match[1]], template)
    return template.replace("<<", "[").replace(">>", "]")


def one(
    rng: random.Random, templates: Sequence[str], slots: Mapping[str, str] | None = None
) -> str:
    """One of the templates, expanded."""
    return expand(rng, rng.choice(templates), slots)


def sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def article(noun: str) -> str:
    """The noun with "a" or "an"; spelling is enough for the words used here."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
