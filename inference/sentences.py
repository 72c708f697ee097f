"""What an error says: put into words when it is read, in the language of whoever reads it.

The task that meets a problem is often not the one that tells of it, and tells several readers.
Programs are told in English, since nothing chooses another language for them.
"""

from django.utils.functional import Promise

Text = str | Promise


class Sentence:
    """A marked text and what fills its placeholders; more may follow it."""

    def __init__(self, text: Text, **values: object) -> None:
        self._parts = [(text, values)]

    def then(self, text: Text, **values: object) -> "Sentence":
        self._parts.append((text, values))
        return self

    def __str__(self) -> str:
        said = " ".join(str(text) % values if values else str(text) for text, values in self._parts)
        return said.replace("。 ", "。")  # which has its room already
