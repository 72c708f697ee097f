"""What an encoder's server asks of a tokenizer beyond the engine's `Codec`: masks and fills."""

from collections.abc import Sequence
from typing import Protocol

from inference.engine.codec import Codec


class EncoderCodec(Codec, Protocol):
    """A codec that knows masks."""

    @property
    def mask_token(self) -> str:
        """How a mask is written; empty when there is none."""
        ...

    @property
    def mask_token_id(self) -> int:
        """Its id; 0 when there is none."""
        ...

    def find_token(self, text: str) -> int | None:
        """Return the id of a text that is one token; None when it is not."""
        ...

    def plain_text(self, token_ids: Sequence[int]) -> str:
        """Return the text of the ids without special tokens, masks excepted."""
        ...
