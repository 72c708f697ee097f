"""An encoder without a model: counts of ids as vectors, masks filled with what stands before.

Like the engine's other fake it ships, so that the whole site runs without torch, and tests drive it
into every corner.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from inference.engine.codec import TokenizerFacts
from inference.engine.encoders.jobs import Answer, EncoderLimits, MaskFill, Row
from inference.engine.encoders.server import ServedEncoder
from inference.engine.fake_codec import FakeCodec

DIMENSIONS = 16
MASK = "[MASK]"  # as BERT writes it


@dataclass(frozen=True, slots=True)
class FakeEncoderOptions:
    """How the fake behaves."""

    kind: str = "embeddings"
    model: str = "fake"
    tokens_per_second: float = 0.0  # 0: as fast as it can
    fail_on: str = ""  # an input with this text crashes every step it is in
    hang_after: int | None = None  # steps until it answers nothing more
    limits: EncoderLimits = field(
        default_factory=lambda: EncoderLimits(
            max_model_len=512, token_budget=4096, max_waiting_tokens=512 * 1024
        )
    )


class FakeEncoderCodec(FakeCodec):
    """The fake tokenizer with a mask of its own."""

    has_chat_template = False
    eos_token_ids = ()  # type: ignore[assignment]
    vocab_size = FakeCodec.vocab_size + 1
    mask_token = MASK
    mask_token_id = FakeCodec.vocab_size

    def describe(self) -> TokenizerFacts:
        """Say what it is."""
        return TokenizerFacts("FakeTokenizer", mask_token=MASK)

    def encode_text(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Encode what stands between masks as the fake does."""
        token_ids: list[int] = []
        for number, part in enumerate(text.split(MASK)):
            token_ids += ([self.mask_token_id] if number else []) + super().encode_text(part)
        return token_ids

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes of one token."""
        return MASK.encode() if token_id == self.mask_token_id else super().token_bytes(token_id)

    def find_token(self, text: str) -> int | None:
        """Return the id of a text that is one token."""
        ids = self.encode_text(text)
        return ids[0] if len(ids) == 1 else None

    def plain_text(self, token_ids: Sequence[int]) -> str:
        """Return the text of the ids."""
        return self.decode(list(token_ids))


class FakeEncoder:
    """Answers from the ids alone."""

    def __init__(self, options: FakeEncoderOptions, codec: FakeEncoderCodec) -> None:
        """Behave as `options` say."""
        self._options = options
        self._codec = codec
        self._num_steps = 0
        self.awake = threading.Event()  # ends a hang, so that a test can leave

    def run(self, rows: Sequence[Row]) -> list[Answer]:
        """Answer each row, at the pace that was asked for."""
        options = self._options
        self._num_steps += 1
        if options.hang_after is not None and self._num_steps > options.hang_after:
            self.awake.wait()
        for row in rows:
            if options.fail_on and options.fail_on in self._codec.decode(list(row.token_ids)):
                raise RuntimeError("a poisoned input, as asked for")
        if options.tokens_per_second:
            time.sleep(sum(len(row.token_ids) for row in rows) / options.tokens_per_second)
        answer = _embed if options.kind == "embeddings" else self._fill
        return [answer(row) for row in rows]

    def _fill(self, row: Row) -> tuple[MaskFill, ...]:
        fills = []
        for position, token_id in enumerate(row.token_ids):
            if token_id != self._codec.mask_token_id:
                continue
            before = row.token_ids[max(position - 1, 0)]
            ids = row.target_ids or [(before + n) % 256 for n in range(row.top_k)]
            chosen = ids[: row.top_k]
            fills.append(
                MaskFill(position, tuple((t, 2.0 ** -(n + 1)) for n, t in enumerate(chosen)))
            )
        return tuple(fills)


def _embed(row: Row) -> Answer:
    """Count ids by their rest, so that texts of the same words are close; of length 1."""
    counts = np.bincount(np.array(row.token_ids) % DIMENSIONS, minlength=DIMENSIONS)
    vector = counts.astype(np.float32)
    return vector / np.linalg.norm(vector)


def build(options: FakeEncoderOptions) -> ServedEncoder:
    """Put a fake encoder together."""
    codec = FakeEncoderCodec()
    return ServedEncoder(
        kind=options.kind,
        model=options.model,
        revision="fake",
        device="cpu",
        dtype="float32",
        vocab_size=codec.vocab_size,
        dimensions=DIMENSIONS if options.kind == "embeddings" else 0,
        codec=codec,
        encoder=FakeEncoder(options, codec),
        limits=options.limits,
    )
