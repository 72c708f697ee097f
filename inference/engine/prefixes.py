"""Beginnings of prompts that are computed once: those in the cache, and those that soon will be.

Who would compute what a running sequence is computing waits for it, and then finds it. Integers
and lists only.
"""

from inference.engine.block_pool import BlockPool, hash_blocks
from inference.engine.request import Sequence


class Prefixes:
    """The prefixes that the scheduler's sequences have, and find, in a pool."""

    def __init__(self, pool: BlockPool) -> None:
        """Nothing is being computed."""
        self._pool = pool
        self._computing: dict[bytes, int] = {}  # hash of a prompt block in prefill -> its sequence

    def find(self, sequence: Sequence) -> list[int] | None:
        """Return the cached blocks a sequence can start from; None: wait for another's prefill."""
        if sequence.params.prompt_logprobs is not None and sequence.num_generated == 0:
            return []  # every prompt token's logits are wanted
        # At least one token must be left to compute, or there would be no logits to sample from.
        limit = (len(sequence.tokens) - 1) // self._pool.block_size
        self._hash(sequence, limit)
        hashes = sequence.block_hashes[:limit]
        found = self._pool.find_prefix(hashes)
        if len(found) < limit and hashes[len(found)] in self._computing:
            return None
        return found

    def begin(self, sequence: Sequence, num_found: int) -> None:
        """Let others wait for what a sequence computes from here on."""
        for digest in sequence.block_hashes[num_found:]:
            self._computing.setdefault(digest, sequence.key)

    def add(self, sequence: Sequence, before: int, after: int) -> None:
        """Make blocks of a sequence findable that were computed, those of its table in between."""
        self._hash(sequence, after)
        for index in range(before, after):
            digest = sequence.block_hashes[index]
            self._pool.register(sequence.block_table[index], digest)
            self._computing.pop(digest, None)

    def leave(self, sequence: Sequence) -> None:
        """Let nobody wait for a sequence that does not run any more."""
        self._computing = {h: key for h, key in self._computing.items() if key != sequence.key}

    def _hash(self, sequence: Sequence, limit: int) -> None:
        hash_blocks(
            sequence.tenant, sequence.tokens, self._pool.block_size, sequence.block_hashes, limit
        )
