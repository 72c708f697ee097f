"""Documents into rows of equal length: whole documents, next to each other, none seeing another.

A row is filled first-fit from a bounded set of open rows, so no document is cut and little is
wasted. `segments` numbers the documents of a row from 1; 0 is padding.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

OPEN_ROWS = 64

Encoded = tuple[list[int], list[bool]]


@dataclass(frozen=True)
class PackedRows:
    """Three arrays of shape [rows, row_tokens]."""

    tokens: npt.NDArray[np.uint16]
    answered: npt.NDArray[np.bool_]
    segments: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return int(self.tokens.shape[0])

    @property
    def num_tokens(self) -> int:
        """Without the padding."""
        return int((self.segments > 0).sum())

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, tokens=self.tokens, answered=self.answered, segments=self.segments)

    @classmethod
    def load(cls, path: Path) -> "PackedRows":
        with np.load(path) as arrays:
            return cls(arrays["tokens"], arrays["answered"], arrays["segments"])


def pack(documents: Iterable[Encoded], row_tokens: int) -> PackedRows:
    """Documents longer than a row are left out. Rows keep the order in which they were filled."""
    done: list[list[Encoded]] = []
    open_rows: list[tuple[int, list[Encoded]]] = []
    for document in documents:
        size = len(document[0])
        if size > row_tokens:
            continue
        for index, (used, row) in enumerate(open_rows):
            if used + size <= row_tokens and len(row) < np.iinfo(np.uint8).max:
                row.append(document)
                open_rows[index] = (used + size, row)
                break
        else:
            open_rows.append((size, [document]))
            if len(open_rows) > OPEN_ROWS:
                fullest = max(range(len(open_rows)), key=lambda i: open_rows[i][0])
                done.append(open_rows.pop(fullest)[1])
    return _as_arrays(done + [row for _, row in open_rows], row_tokens)


def _as_arrays(rows: list[list[Encoded]], row_tokens: int) -> PackedRows:
    shape = (len(rows), row_tokens)
    packed = PackedRows(
        np.zeros(shape, np.uint16), np.zeros(shape, np.bool_), np.zeros(shape, np.uint8)
    )
    for number, row in enumerate(rows):
        start = 0
        for segment, (ids, answered) in enumerate(row, start=1):
            end = start + len(ids)
            packed.tokens[number, start:end] = ids
            packed.answered[number, start:end] = answered
            packed.segments[number, start:end] = segment
            start = end
    return packed
