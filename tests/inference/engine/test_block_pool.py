"""The block pool loses nothing and shares only what is equal."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference.engine.block_pool import BlockPool, hash_blocks


def chain(tokens: list[int], block_size: int, tenant: str = "alice") -> list[bytes]:
    hashes: list[bytes] = []
    hash_blocks(tenant, tokens, block_size, hashes, len(tokens) // block_size)
    return hashes


class PoolMachine(RuleBasedStateMachine):
    """Sequences that take, share, fill and release blocks in any order, against a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(12, 2)
        self.held: list[list[int]] = []
        self.contents: dict[int, bytes] = {}  # what each block was filled with last

    @rule(tokens=st.lists(st.integers(0, 1), min_size=1, max_size=8))
    def admit(self, tokens: list[int]) -> None:
        hashes = chain(tokens, 2)
        found = self.pool.find_prefix(hashes)
        needed = -(-len(tokens) // 2) - len(found)
        if needed > self.pool.num_free_without(found):
            return
        for block, digest in zip(found, hashes, strict=False):
            assert self.contents[block] == digest, "a found block holds something else"
        self.pool.hold(found)
        blocks = found + self.pool.allocate(needed)
        assert len(set(blocks)) == len(blocks)
        for block in blocks[len(found) :]:
            assert not any(block in other for other in self.held), "a held block was given away"
            self.contents.pop(block, None)
        for block, digest in zip(blocks, hashes, strict=False):
            self.contents[block] = digest
            self.pool.register(block, digest)
        self.held.append(blocks)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), forget=st.booleans())
    def leave(self, data: st.DataObject, forget: bool) -> None:
        blocks = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if forget:
            for block in blocks:
                self.pool.forget(block)
        self.pool.release(blocks)

    @invariant()
    def the_pool_is_whole(self) -> None:
        self.pool.check()
        used = {block for blocks in self.held for block in blocks}
        assert self.pool.num_used == len(used)
        assert self.pool.num_free + self.pool.num_used == 12


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPoolMachine = PoolMachine.TestCase


def test_it_never_finds_another_tenants_blocks() -> None:
    pool = BlockPool(4, 2)
    (block,) = pool.allocate(1)
    pool.register(block, chain([1, 2], 2, "alice")[0])
    assert pool.find_prefix(chain([1, 2], 2, "alice")) == [block]
    assert pool.find_prefix(chain([1, 2], 2, "charlie")) == []


def test_it_finds_a_block_only_behind_the_same_prefix() -> None:
    assert chain([1, 2, 5, 6], 2)[1] != chain([3, 4, 5, 6], 2)[1]
    assert chain([1, 2, 5, 6], 2)[0] == chain([1, 2, 7, 8], 2)[0]


def test_it_reuses_empty_blocks_first_and_cached_ones_least_recently_freed_first() -> None:
    pool = BlockPool(4, 1)
    first, second = pool.allocate(1), pool.allocate(1)
    pool.register(first[0], b"first")
    pool.register(second[0], b"second")
    pool.release(second)
    pool.release(first)
    assert set(pool.allocate(2)) == {3, 4}
    assert pool.allocate(1) == second
    assert pool.find_prefix([b"first"]) == first
    assert pool.find_prefix([b"second"]) == []


def test_a_block_without_contents_goes_before_one_that_was_freed_earlier() -> None:
    pool = BlockPool(2, 2)
    [full], [empty] = pool.allocate(1), pool.allocate(1)
    [digest] = chain([1, 2], 2)
    pool.register(full, digest)
    pool.release([full])
    pool.release([empty])
    assert pool.allocate(1) == [empty]
    assert pool.find_prefix([digest]) == [full]


def test_it_keeps_the_start_of_a_freed_prefix_longest() -> None:
    pool = BlockPool(3, 1)
    blocks = pool.allocate(3)
    for block, digest in zip(blocks, (b"1", b"2", b"3"), strict=True):
        pool.register(block, digest)
    pool.release(blocks)
    pool.allocate(1)
    assert pool.find_prefix([b"1", b"2", b"3"]) == blocks[:2]


def test_it_notices_a_block_released_twice() -> None:
    pool = BlockPool(2, 1)
    blocks = pool.allocate(1)
    pool.release(blocks)
    with pytest.raises(AssertionError, match="once too often"):
        pool.release(blocks)


def test_it_refuses_an_empty_pool() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        BlockPool(0, 16)
