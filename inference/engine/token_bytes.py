"""The bytes each token stands for, read once from a tokenizer's vocabulary.

Two spellings of bytes are in use: byte-level BPE writes each byte as a printable character (GPT-2),
sentencepiece writes spaces as "▁" and lone bytes as "<0x0A>". For any other, a token's bytes are
what it adds to a text: WordPiece and others write the spaces that their tokens do not have.
"""

import json
import re
from typing import Any

BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def read_token_bytes(tokenizer: Any) -> list[bytes]:
    """Return the bytes of every id of a fast tokenizer; special tokens as they are written."""
    spelling = _spelling(tokenizer)
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    table = [b""] * (max(vocabulary.values(), default=-1) + 1)
    for piece, token_id in vocabulary.items():
        if spelling == "byte-level":
            table[token_id] = _from_byte_level(piece)
        elif spelling == "sentencepiece":
            table[token_id] = _from_sentencepiece(piece)
        else:
            table[token_id] = _added(tokenizer.backend_tokenizer, token_id, spelling).encode()
    for token_id, added in tokenizer.added_tokens_decoder.items():
        table[token_id] = added.content.encode()
    return table


def _spelling(tokenizer: Any) -> str:
    decoder = tokenizer.backend_tokenizer.decoder
    state = json.loads(decoder.__getstate__()) if decoder is not None else {}
    kinds = {part["type"] for part in state.get("decoders", [state]) if "type" in part}
    if "ByteLevel" in kinds:
        return "byte-level"
    if kinds & {"ByteFallback", "Metaspace"}:
        return "sentencepiece"
    return "spaces after" if "BPEDecoder" in kinds else "spaces before"


def _added(backend: Any, token_id: int, spelling: str) -> str:
    """Return what a token adds beside another one: what it is twice, less what it is once."""
    once = backend.decode([token_id], skip_special_tokens=False)
    twice: str = backend.decode([token_id] * 2, skip_special_tokens=False)
    return twice.removesuffix(once) if spelling == "spaces after" else twice.removeprefix(once)


def _byte_of_char() -> dict[str, int]:
    """GPT-2's table: printable Latin-1 stands for itself, the rest is moved above U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(value): value for value in printable}
    moved = (value for value in range(256) if value not in set(printable))
    table.update({chr(0x100 + rank): value for rank, value in enumerate(moved)})
    return table


_BYTES = _byte_of_char()


def _from_byte_level(piece: str) -> bytes:
    try:
        return bytes(_BYTES[char] for char in piece)
    except KeyError:  # not spelled in bytes: an added token, or an odd vocabulary
        return piece.encode()


def _from_sentencepiece(piece: str) -> bytes:
    lone = BYTE_PIECE.fullmatch(piece)
    return bytes([int(lone[1], 16)]) if lone else piece.replace("▁", " ").encode()
