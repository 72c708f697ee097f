"""How often each token occurred in a sequence, kept on the device for the penalties."""

import torch
from torch import Tensor

from inference.engine.plan import Row
from inference.engine.transfers import to_device


class _Counts:
    """One sequence's counts, and up to which of its tokens they go."""

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self.seen = torch.zeros(vocab_size, dtype=torch.bool, device=device)  # prompt and output
        self.output = torch.zeros(vocab_size, dtype=torch.float32, device=device)
        self.num_counted = 0

    def catch_up(self, row: Row) -> None:
        new = row.tokens[self.num_counted :]
        if not new:
            return
        ids = to_device(new, torch.int64, self.seen.device)
        self.seen.index_fill_(0, ids, True)
        output = ids[max(0, row.num_prompt_tokens - self.num_counted) :]
        self.output.index_add_(0, output, torch.ones_like(output, dtype=torch.float32))
        self.num_counted = len(row.tokens)


class TokenCounts:
    """Counts of the sequences that have penalties. Catching up twice changes nothing."""

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        """Count ids below `vocab_size`."""
        self._vocab_size = vocab_size
        self._device = device
        self._by_key: dict[int, _Counts] = {}

    def of(self, rows: list[Row]) -> tuple[Tensor, Tensor]:
        """Return which ids occurred at all (R, V) and how often in the output (R, V)."""
        kept = []
        for row in rows:
            counts = self._by_key.get(row.key)
            if counts is None:
                counts = self._by_key[row.key] = _Counts(self._vocab_size, self._device)
            counts.catch_up(row)
            kept.append(counts)
        return torch.stack([c.seen for c in kept]), torch.stack([c.output for c in kept])

    def release(self, keys: tuple[int, ...]) -> None:
        """Forget sequences that ended."""
        for key in keys:
            self._by_key.pop(key, None)
