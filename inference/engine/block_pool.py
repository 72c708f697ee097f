"""The key-value cache's blocks: who holds which, and which still hold a reusable prefix.

Owns reference counts and the prefix cache. A block's number is a row of the device's cache tensor;
nothing here touches the tensor. Block 0 is never handed out: the device half keeps it zeroed and
points padding at it.

A full block whose contents are known is registered under the hash of everything up to its end, so
equal prefixes of one tenant share blocks. A block nobody holds is free; if it is registered it
stays findable until it is reused, least recently freed first (what vLLM calls automatic prefix
caching). Guarantee, proven by `check`: every block is either held or free, never both, never
neither.
"""

import hashlib
from array import array
from collections import OrderedDict


class BlockPool:
    """Reference-counted blocks 1..num_blocks with a hash index over the full ones."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        """Start with every block free and nothing cached."""
        if num_blocks < 1 or block_size < 1:
            raise ValueError(f"need at least one block of one token, not {num_blocks}×{block_size}")
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._holders = [0] * (num_blocks + 1)
        # Free blocks, the one to reuse first at the front. Values are unused: an ordered set.
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(1, num_blocks + 1))
        self._by_hash: dict[bytes, int] = {}
        self._hash_of: dict[int, bytes] = {}

    @property
    def num_free(self) -> int:
        """Blocks nobody holds, cached ones included."""
        return len(self._free)

    @property
    def num_used(self) -> int:
        """Blocks at least one sequence holds."""
        return self.num_blocks - len(self._free)

    def blocks_for(self, num_tokens: int) -> int:
        """Count the blocks that so many tokens of a sequence need."""
        return -(-num_tokens // self.block_size)

    def find_prefix(self, hashes: list[bytes]) -> list[int]:
        """Return the cached blocks for the longest known prefix of `hashes`; hold nothing."""
        found: list[int] = []
        for digest in hashes:
            block = self._by_hash.get(digest)
            if block is None:
                break
            found.append(block)
        return found

    def num_free_without(self, blocks: list[int]) -> int:
        """Count the free blocks that would be left if `blocks` were held."""
        return len(self._free) - sum(1 for block in blocks if block in self._free)

    def hold(self, blocks: list[int]) -> None:
        """Add one holder to each of the (cached) blocks."""
        for block in blocks:
            if self._holders[block] == 0:
                del self._free[block]
            self._holders[block] += 1

    def allocate(self, count: int) -> list[int]:
        """Take `count` blocks for new contents; the caller has checked `num_free`."""
        assert count <= len(self._free), f"{count} blocks wanted, {len(self._free)} free"
        blocks: list[int] = []
        for _ in range(count):
            block, _none = self._free.popitem(last=False)
            self.forget(block)
            self._holders[block] = 1
            blocks.append(block)
        return blocks

    def lengthen(self, tables: list[tuple[list[int], int]]) -> bool:
        """Give each table the blocks for so many tokens; False, and none, if not all can be."""
        wanted = [max(self.blocks_for(length) - len(table), 0) for table, length in tables]
        if sum(wanted) > self.num_free:
            return False
        for (table, _), count in zip(tables, wanted, strict=True):
            table += self.allocate(count)
        return True

    def register(self, block: int, digest: bytes) -> None:
        """Make a held, fully computed block findable. The first block of a hash stays."""
        assert self._holders[block] > 0, f"block {block} is not held"
        if digest not in self._by_hash:
            self._by_hash[digest] = block
            self._hash_of[block] = digest

    def forget(self, block: int) -> None:
        """Make a block unfindable (its contents are about to change, or are not to be trusted)."""
        digest = self._hash_of.pop(block, None)
        if digest is not None:
            del self._by_hash[digest]

    def release(self, blocks: list[int]) -> None:
        """Drop one holder of each of a sequence's blocks, given in sequence order.

        The tail is freed first: it is the part least likely to be shared, so it is reused first.
        Blocks without reusable contents go to the front of the line.
        """
        for block in reversed(blocks):
            assert self._holders[block] > 0, f"block {block} is released once too often"
            self._holders[block] -= 1
            if self._holders[block] == 0:
                self._free[block] = None
                if block not in self._hash_of:
                    self._free.move_to_end(block, last=False)

    def check(self) -> None:
        """Raise AssertionError unless free + used = total and the hash index is consistent."""
        assert self._holders[0] == 0, "block 0 was handed out"
        assert 0 not in self._free, "block 0 could be handed out"
        for block in range(1, self.num_blocks + 1):
            assert self._holders[block] >= 0, f"block {block} has a negative count"
            held, free = self._holders[block] > 0, block in self._free
            assert held != free, f"block {block} is {'both' if held else 'neither'} held and free"
        assert len(self._free) + self.num_used == self.num_blocks
        assert len(self._by_hash) == len(self._hash_of), "the hash index lost an entry"
        for digest, block in self._by_hash.items():
            assert self._hash_of.get(block) == digest, f"block {block} is indexed twice"


def hash_blocks(
    tenant: str, tokens: list[int], block_size: int, known: list[bytes], limit: int
) -> None:
    """Extend `known`, the hash chain of a sequence's full blocks, to `limit` blocks.

    Each hash covers everything before it: equal hashes mean equal prefixes. The chain starts from
    the tenant, so a block is never found by another tenant's prompt, nor can its presence be timed.
    """
    for index in range(len(known), limit):
        parent = known[-1] if known else hashlib.sha256(tenant.encode()).digest()
        chunk = array("Q", tokens[index * block_size : (index + 1) * block_size])
        known.append(hashlib.sha256(parent + chunk.tobytes()).digest())
