"""A tokenizer that needs no library: common English pieces, and bytes for everything else."""

import json
import re

from inference.engine.codec import Chat, TokenizerFacts

END_OF_TEXT = 256
MESSAGE_START = 257
MESSAGE_END = 258
_SPECIAL_TEXTS = {
    END_OF_TEXT: b"<|endoftext|>",
    MESSAGE_START: b"<|start|>",
    MESSAGE_END: b"<|end|>",
}
_WORDS = """
    the a an and of to in is it that this you I for on with as are was be by not or from at have can
    one all will there what so if out up about which engine model text token wrote stand
"""
_PIECES = [f" {word}" for word in _WORDS.split()]
_PIECES += ["The", "You", "ing", "ed", "er", "tion", ". ", ", ", "  "]
FIRST_PIECE = 259
# What `encode_chat` does, in words of transformers.
_TEMPLATE = (
    "{% if tools %}<|start|>tools\n{{ tools | tojson }}<|end|>{% endif %}"
    "{% for message in messages %}"
    "<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


class FakeCodec:
    """Ids 0–255 are bytes, then three special tokens, then pieces of English."""

    vocab_size = FIRST_PIECE + len(_PIECES)
    has_chat_template = True
    tool_format = None
    eos_token_ids = (END_OF_TEXT, MESSAGE_END)
    frame = ((), ())

    def __init__(self) -> None:
        """Build the table of bytes and the pattern that finds pieces, longest first."""
        self._bytes = [bytes([value]) for value in range(256)]
        self._bytes += [_SPECIAL_TEXTS[number] for number in range(256, FIRST_PIECE)]
        self._bytes += [piece.encode() for piece in _PIECES]
        self._ids = {piece: FIRST_PIECE + index for index, piece in enumerate(_PIECES)}
        longest_first = sorted(_PIECES, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(piece) for piece in longest_first))

    def describe(self) -> TokenizerFacts:
        """Say what it is."""
        eos = _SPECIAL_TEXTS[END_OF_TEXT].decode()
        return TokenizerFacts("FakeTokenizer", eos_token=eos, chat_template=_TEMPLATE)

    def encode_text(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Encode; the text of a special token is plain text like any other, and none is added."""
        token_ids: list[int] = []
        end = 0
        for match in self._pattern.finditer(text):
            token_ids += text[end : match.start()].encode("utf-8", "replace")
            token_ids.append(self._ids[match.group()])
            end = match.end()
        token_ids += text[end:].encode("utf-8", "replace")
        return token_ids

    def encode_chat(self, chat: Chat) -> list[int]:
        """Render each message as start, role, newline, content, end."""
        token_ids: list[int] = []
        if chat.tools:
            token_ids += self._message("tools", json.dumps(list(chat.tools)))
        for message in chat.messages:
            content = message.get("content") or ""
            if not isinstance(content, str):
                raise ValueError("content must be text")
            token_ids += self._message(str(message.get("role", "user")), content)
        if chat.add_generation_prompt:
            token_ids += [MESSAGE_START, *self.encode_text("assistant\n")]
        return token_ids

    def _message(self, role: str, content: str) -> list[int]:
        return [MESSAGE_START, *self.encode_text(f"{role}\n{content}"), MESSAGE_END]

    def decode(self, token_ids: list[int]) -> str:
        """Return the text, special tokens written out."""
        known = len(self._bytes)
        spelt = [self._bytes[token_id] for token_id in token_ids if token_id < known]
        return b"".join(spelt).decode(errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes of one token."""
        return self._bytes[token_id] if token_id < len(self._bytes) else b""

    def is_special(self, token_id: int) -> bool:
        """Whether it is one of the three special tokens."""
        return 256 <= token_id < FIRST_PIECE
