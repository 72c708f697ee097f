"""What the engine asks of a tokenizer, whichever one stands behind it.

The real one (`tokenizer.py`) wraps a Hugging Face tokenizer, the built-in one (`fake.py`) needs no
library. Implementations are called from several threads at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inference.engine.tool_formats import ToolFormat


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation for the model's chat template.

    A message has `role` and `content`, perhaps `name`, and whatever else the template knows
    (`tool_calls`, `tool_call_id`, …).
    """

    messages: tuple[Mapping[str, Any], ...]
    add_generation_prompt: bool = True
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """What a tokenizer is, for who renders and counts elsewhere. Empty: it has none of that."""

    tokenizer_class: str
    bos_token: str = ""
    eos_token: str = ""
    pad_token: str = ""
    unk_token: str = ""
    cls_token: str = ""
    sep_token: str = ""
    mask_token: str = ""
    chat_template: str = ""


class Codec(Protocol):
    """Text to ids and back."""

    @property
    def has_chat_template(self) -> bool:
        """Whether `encode_chat` works."""
        ...

    @property
    def tool_format(self) -> ToolFormat | None:
        """How the chat template's family writes tool calls; None when it knows none."""
        ...

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Ids that end a generation."""
        ...

    @property
    def frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The special tokens that stand before and after every encoded text."""
        ...

    def describe(self) -> TokenizerFacts:
        """Say what the tokenizer is."""
        ...

    def encode_text(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Encode plain text the way the tokenizer does by default (BOS included if it adds one)."""
        ...

    def encode_chat(self, chat: Chat) -> list[int]:
        """Render and encode a conversation. ValueError when the template refuses it."""
        ...

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of the ids, special tokens written out."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes one token stands for, special tokens written out."""
        ...

    def is_special(self, token_id: int) -> bool:
        """Whether the token adds no text to a generation."""
        ...
