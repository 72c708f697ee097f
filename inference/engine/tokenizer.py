"""A Hugging Face tokenizer with its chat template, as the engine's `Codec`.

Owns two promises. Plain text and benign conversations are encoded exactly as transformers does it.
And no text that came in a message ever becomes a special token: see `encode_chat`.
"""

import json
import re
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from inference.engine.codec import Chat, TokenizerFacts
from inference.engine.token_bytes import read_token_bytes
from inference.engine.tool_formats import ToolFormat, find_format

# Noncharacters and private-use characters: one that occurs nowhere in a conversation is the marker.
MARKERS = ("\ufdd0", "\ufdd1", "\ue000", "\uf8ff", "\U000f0000")


class HuggingFaceCodec:
    """Text to ids and back."""

    def __init__(self, tokenizer: Any, eos_token_ids: tuple[int, ...]) -> None:
        """Wrap a fast tokenizer; `eos_token_ids` end a generation."""
        if not tokenizer.is_fast:
            raise ValueError("The model's tokenizer has no fast version, which the engine needs.")
        self._tokenizer = tokenizer
        # What reads special tokens and what does not are two objects: the switch between the two is
        # state of the object, and several threads encode at once.
        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._plain.encode_special_tokens = True
        self._of_texts = self._plain if tokenizer.split_special_tokens else self._backend
        for backend in (self._backend, self._plain):
            # A checkpoint may say that its texts are cut and padded. Ours never are.
            backend.no_truncation()
            backend.no_padding()
        self.frame = _find_frame(self._backend)
        self._eos_token_ids = eos_token_ids
        self._bytes = read_token_bytes(tokenizer)
        self.tool_format = _find_tool_format(tokenizer.chat_template)
        self._knows_developers = "developer" in str(tokenizer.chat_template)
        added = tokenizer.added_tokens_decoder
        self._special = {number: token.content for number, token in added.items() if token.special}
        # What a tool call is made of is text, whatever the tokenizer calls it.
        self._silent = {
            number for number, text in self._special.items() if not self._is_of_call(text)
        }
        self._ids = {text: number for number, text in self._special.items()}
        longest_first = sorted(self._ids, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(text) for text in longest_first) or r"(?!)")
        self._beginnings = {text[:n] for text in self._ids for n in range(1, len(text))}
        self._endings = {text[n:] for text in self._ids for n in range(1, len(text))}
        self._longest = max((len(text) for text in self._ids), default=0)

    @property
    def has_chat_template(self) -> bool:
        """Whether the checkpoint brought a chat template."""
        return bool(self._tokenizer.chat_template)

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Ids that end a generation."""
        return self._eos_token_ids

    def describe(self) -> TokenizerFacts:
        """Say what transformers knows of it."""
        names = ("bos", "eos", "pad", "unk", "cls", "sep", "mask")
        template = self._tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        return TokenizerFacts(
            type(self._tokenizer).__name__,
            **{f"{name}_token": getattr(self._tokenizer, f"{name}_token") or "" for name in names},
            chat_template=template or "",
        )

    def encode_text(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Encode as the tokenizer does by default, special tokens and BOS included."""
        return _ids(self._of_texts, text, add_special_tokens=add_special_tokens)

    def encode_chat(self, chat: Chat) -> list[int]:
        """Render and encode a conversation. ValueError when the template refuses it.

        Special tokens that the messages spell out are broken up by a marker character before the
        template sees them. In what it renders, every special token is then the template's own: the
        text is cut there, the marker is removed, and the pieces are encoded as plain text. The
        tokenizer cuts at special tokens too, so for texts without any this is what it does itself.
        """
        if not self.has_chat_template:
            raise ValueError("This model has no chat template; send plain text.")
        marker = self._find_marker(chat)
        spoken = map(self._as_known, chat.messages)
        messages = [_map_strings(message, self._breaker(marker)) for message in spoken]
        tools = [_map_strings(tool, self._breaker(marker)) for tool in chat.tools]
        rendered = self._render(messages, tools, chat.add_generation_prompt)
        if marker not in rendered:
            return _ids(self._backend, rendered)
        token_ids: list[int] = []
        end = 0
        for match in self._pattern.finditer(rendered):
            token_ids += _ids(self._plain, rendered[end : match.start()].replace(marker, ""))
            token_ids.append(self._ids[match.group()])
            end = match.end()
        return token_ids + _ids(self._plain, rendered[end:].replace(marker, ""))

    def _as_known(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """OpenAI's clients say "developer" where most templates know the system alone."""
        if message.get("role") != "developer" or self._knows_developers:
            return message
        return {**message, "role": "system"}

    def _find_marker(self, chat: Chat) -> str:
        everything = json.dumps([*chat.messages, *chat.tools], ensure_ascii=False)
        for marker in MARKERS:
            if marker not in everything:
                return marker
        raise ValueError("The messages contain too many different noncharacters.")

    def _breaker(self, marker: str) -> Callable[[str], str]:
        def break_up(text: str) -> str:
            text = self._pattern.sub(lambda match: match[0][0] + marker + match[0][1:], text)
            # Nor may a text complete a special token with what the template puts next to it.
            body = text.strip()
            for n in range(1, min(self._longest, len(body) + 1)):
                if body[-n:] in self._beginnings:
                    text = text.rstrip() + marker + text[len(text.rstrip()) :]
                    break
            for n in range(1, min(self._longest, len(body) + 1)):
                if body[:n] in self._endings:
                    start = len(text) - len(text.lstrip())
                    return text[:start] + marker + text[start:]
            return text

        return break_up

    def _render(self, messages: list[Any], tools: list[Any], add_generation_prompt: bool) -> str:
        try:
            rendered: str = self._tokenizer.apply_chat_template(
                messages,
                tools=tools or None,
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
            )
        except Exception as error:  # it is a program, and may do with them what it likes
            sentence = f"The model's chat template refused the messages: {error}"
            raise ValueError(sentence) from error
        return rendered

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of the ids, special tokens written out."""
        # As a batch, for the reason that stands in `_ids`.
        [text] = self._backend.decode_batch([token_ids], skip_special_tokens=False)
        return str(text)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes one token stands for; none for ids that only pad the vocabulary."""
        return self._bytes[token_id] if token_id < len(self._bytes) else b""

    def is_special(self, token_id: int) -> bool:
        """Whether the token adds no text to a generation."""
        return token_id in self._silent

    def _is_of_call(self, text: str) -> bool:
        form = self.tool_format
        return form is not None and text in f"{form.trigger} {form.head} {form.last}"


def _find_frame(backend: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    encoding = backend.encode("a")
    pairs = list(zip(encoding.ids, encoding.special_tokens_mask, strict=True))
    first = tuple(number for number, _added in takewhile(_is_added, pairs))
    last = tuple(number for number, _added in takewhile(_is_added, reversed(pairs)))
    return first, last[::-1]


def _is_added(token: tuple[int, int]) -> bool:
    return bool(token[1])


def _ids(backend: Tokenizer, text: str, *, add_special_tokens: bool = False) -> list[int]:
    """Encode; where each token stands in the text, which takes as long again, nobody asks.

    As a batch of one: a single call of the library keeps the interpreter to itself until it ends,
    which takes seconds for megabytes, and nothing else of the engine would move.
    """
    [encoding] = backend.encode_batch_fast([text], add_special_tokens=add_special_tokens)
    token_ids: list[int] = encoding.ids
    return token_ids


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Apply `change` to every string inside a JSON-like value, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_map_strings(k, change): _map_strings(v, change) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_map_strings(item, change) for item in value]
    return value


def _find_tool_format(template: Any) -> ToolFormat | None:
    """Look at the template that transformers takes when there are tools: there may be several."""
    if isinstance(template, dict):
        template = template.get("tool_use") or template.get("default")
    return find_format(template) if template else None


def load_codec(path: str, eos_token_ids: tuple[int, ...]) -> HuggingFaceCodec:
    """Load a checkpoint's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.eos_token_id is not None:
        eos_token_ids = tuple(dict.fromkeys((*eos_token_ids, tokenizer.eos_token_id)))
    return HuggingFaceCodec(tokenizer, eos_token_ids)
