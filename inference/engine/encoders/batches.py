"""Cuts a step into batches of rows of similar length, so that little is computed for padding."""

from collections.abc import Sequence

# A batch is cut where more of it would be padding than this part, beyond what a call costs anyway.
MOST_PADDING = 0.2
FREE_PADDING = 64  # tokens


def cut(lengths: Sequence[int], most_rows: int) -> list[list[int]]:
    """Return the indexes of each batch's rows, longest first. Every row is in one."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    padding = 0
    for index in order:
        if batches:
            batch = batches[-1]
            longest = lengths[batch[0]]
            padding += longest - lengths[index]
            allowed = FREE_PADDING + MOST_PADDING * longest * (len(batch) + 1)
            if padding <= allowed and len(batch) < most_rows:
                batch.append(index)
                continue
        batches.append([index])
        padding = 0
    return batches
