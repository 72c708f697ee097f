"""Rows of random tokens in which pieces come again: the plainest lesson in copying.

Text teaches copying slowly, because most of it can be guessed without. With a tenth of such rows
the laid-out circuits of `initialise.py` are kept and grow; without them they fade.
"""

import numpy as np
import numpy.typing as npt

from inference.training.packing import PackedRows

SHARE = 0.1
AGAIN = 0.7
PIECE_TOKENS = (4, 32)
# Of 8 to 256 different tokens each, whatever they mean.
ALPHABET_BITS = (3.0, 8.0)


def with_repetition(rows: PackedRows, specials: int, vocabulary: int, seed: int) -> PackedRows:
    """The rows and, after them, SHARE as many of repeated pieces; special tokens do not occur."""
    rng = np.random.default_rng(seed)
    count, length = int(len(rows) * SHARE), rows.tokens.shape[1]
    made = [repetition(rng, length, specials, vocabulary) for _ in range(count)]
    tokens = np.array(made, np.uint16).reshape(count, length)
    return PackedRows(
        np.concatenate((rows.tokens, tokens)),
        np.concatenate((rows.answered, np.ones_like(tokens, np.bool_))),
        np.concatenate((rows.segments, np.ones_like(tokens, np.uint8))),
    )


def repetition(
    rng: np.random.Generator, length: int, specials: int, vocabulary: int
) -> npt.NDArray[np.int64]:
    """[length] token ids."""
    size = int(2 ** rng.uniform(*ALPHABET_BITS))
    alphabet = rng.choice(np.arange(specials, vocabulary), size, replace=False)
    pieces: list[npt.NDArray[np.int64]] = []
    used: list[npt.NDArray[np.int64]] = []
    while sum(map(len, used)) < length:
        if not pieces or rng.random() >= AGAIN:
            pieces.append(rng.choice(alphabet, int(rng.integers(*PIECE_TOKENS))))
            used.append(pieces[-1])
        else:
            used.append(pieces[int(rng.integers(len(pieces)))])
    return np.concatenate(used)[:length]
