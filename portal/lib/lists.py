"""Lists as people type them into a form."""

import re


def items(text: str) -> list[str]:
    """What stands between spaces, line breaks and commas, also those of a Chinese keyboard."""
    return re.sub("[,，、]", " ", text).split()
