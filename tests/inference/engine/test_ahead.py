"""A cache's memory is real before its blocks are used, and no more of it than that."""

import threading
import time
from functools import partial

import numpy as np
import pytest
import torch

from inference.engine import huge_pages, kv_cache
from inference.engine.ahead import Ahead
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.model import HuggingFaceModel
from inference.engine.native.touch import Touch, native_touch
from tests.inference.engine.tiny import make_bench, random_module
from tests.memory import resident_mib

MIB = 1 << 20
NUM_BLOCKS = 96  # of a MiB in each of two tensors
PATIENCE_S = 20.0
LINGERS_S = 0.2  # in which it would go too far


def until_reached(ahead: Ahead, block: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while ahead.reached < block:
        assert time.monotonic() < deadline, f"{ahead.reached} of {block} blocks"
        time.sleep(0.01)
    time.sleep(LINGERS_S)
    assert ahead.reached == block


@pytest.fixture
def touch() -> Touch:
    found = native_touch()
    assert found is not None
    return found


def test_it_makes_real_what_is_used_soon_and_no_more(touch: Touch) -> None:
    tensors = [huge_pages.empty((NUM_BLOCKS, MIB // 4), torch.float32) for _ in range(2)]
    before = resident_mib()
    ahead = Ahead(tensors, touch, near_bytes=32 * MIB, far=0)
    for highest, reached in ((0, 16), (40, 56), (39, 56), (90, NUM_BLOCKS)):
        ahead.use(highest)
        until_reached(ahead, reached)
        grown = resident_mib() - before
        assert 2 * reached - 8 <= grown <= 2 * reached + 8, f"{grown} MiB for {reached} blocks"


def test_it_goes_far_only_while_nothing_runs(touch: Touch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.engine.ahead.QUIET_S", PATIENCE_S)
    tensors = [huge_pages.empty((NUM_BLOCKS, MIB // 4), torch.float32) for _ in range(2)]
    ahead = Ahead(tensors, touch, near_bytes=32 * MIB, far=0.5)
    until_reached(ahead, NUM_BLOCKS // 2)
    ahead.use(40)
    until_reached(ahead, 40 + 16)
    monkeypatch.setattr("inference.engine.ahead.QUIET_S", 0.01)
    ahead.use(41)
    until_reached(ahead, 41 + NUM_BLOCKS // 2)


def test_it_changes_nothing(touch: Touch) -> None:
    tensor = torch.arange(8 * MIB, dtype=torch.int32).view(16, -1)
    until_reached(Ahead([tensor], touch, far=1), 16)
    assert torch.equal(tensor, torch.arange(8 * MIB, dtype=torch.int32).view(16, -1))


def test_a_runner_says_how_far_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    model = HuggingFaceModel(random_module("llama"))
    shapes = model.shapes
    two_blocks = 2 * kv_cache.bytes_per_block(shapes, 16, model.dtype)
    monkeypatch.setattr(kv_cache, "Ahead", partial(Ahead, near_bytes=two_blocks, far=0))
    caches: list[KVCache] = []

    def kept(cache: KVCache) -> HuggingFaceModel:
        cache.stay_ahead()
        caches.append(cache)
        return model

    bench = make_bench(model, num_blocks=64, block_size=16, form=kept)
    [cache] = caches
    assert cache._ahead is not None
    until_reached(cache._ahead, 2)
    bench.submit([7] * 40, max_tokens=1)
    bench.run()
    until_reached(cache._ahead, 3 + 2)


def test_a_cache_that_is_gone_leaves_nothing() -> None:
    before = resident_mib()
    cache = KVCache([LayerShape(1, 64, 64)], 8192, 16, torch.float32, torch.device("cpu"))
    cache.stay_ahead()
    assert cache._ahead is not None
    until_reached(cache._ahead, 8194)
    others = set(threading.enumerate())
    cache = KVCache([LayerShape(1, 64, 64)], 1 << 16, 16, torch.float32, torch.device("cpu"))
    cache.stay_ahead()
    [thread] = set(threading.enumerate()) - others
    del cache
    deadline = time.monotonic() + PATIENCE_S
    while thread.is_alive() or resident_mib() > before + 8:
        assert time.monotonic() < deadline, f"{resident_mib() - before} MiB"
        time.sleep(0.01)


def test_memory_of_a_gpu_is_real_at_once() -> None:
    cache = KVCache([LayerShape(1, 8, 8)], 4, 16, torch.float32, torch.device("meta"))
    cache.stay_ahead()
    cache.use(np.array([[3]]))
    assert cache._ahead is None
