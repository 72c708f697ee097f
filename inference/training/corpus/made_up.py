# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Names that nobody has heard before: who meets one can only copy it from what was said."""

import random

STARTS = ("B", "Br", "D", "Dr", "F", "G", "Gr", "H", "J", "K", "Kr", "L", "M", "N", "P", "Qu", "R", "S", "St", "T", "Tr", "V", "W", "Z", "Ch", "Sh")
VOWELS = ("a", "e", "i", "o", "u", "ee", "oo", "ai", "ia")
MIDDLES = ("b", "bl", "d", "g", "k", "l", "ll", "m", "n", "nd", "p", "r", "rr", "s", "st", "t", "v", "x", "z")
ENDS = ("", "", "n", "r", "s", "l", "x", "k", "th", "m", "ck")
SERVICE_WORDS = ("AI", "Chat", "Cloud", "Labs", "Text", "Models", "Desk", "Words")


def made_up_name(rng: random.Random) -> str:
    """One capitalised word of two or three syllables."""
    name = rng.choice(STARTS) + rng.choice(VOWELS)
    for _ in range(rng.choice((1, 1, 2))):
        name += rng.choice(MIDDLES) + rng.choice(VOWELS)
    return name + rng.choice(ENDS)


def made_up_service(rng: random.Random) -> str:
    name = made_up_name(rng)
    return f"{name} {rng.choice(SERVICE_WORDS)}" if rng.random() < 0.4 else name


def made_up_key(rng: random.Random) -> str:
    """A key of a JSON object, as programmers write them."""
    name = made_up_name(rng).lower()
    return f"{name}_{rng.choice(('id', 'name', 'count', 'size', 'code'))}" if rng.random() < 0.3 else name
