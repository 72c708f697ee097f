"""Replayed decode steps give what the model gives, and touch nobody's blocks."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from inference.engine import attention, graphs
from inference.engine.batch import Batch, build_batch
from inference.engine.graphs import CudaCapture, GraphedModel, ladder
from inference.engine.kernels import attention as kernels
from inference.engine.kv_cache import KVCache
from inference.engine.lean import LeanModel
from inference.engine.model import HuggingFaceModel
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan, Row
from tests.inference.engine.plain import PlainAttention
from tests.inference.engine.tiny import lean_form, random_module

CPU = torch.device("cpu")
SIZE, LONGEST, NUM_BLOCKS = 8, 64, 90


class Recorder:
    """Stands in for CUDA's graphs: runs the function again, over the memory of the first run."""

    def __init__(self) -> None:
        self.captured: list[int] = []
        self.replayed: list[int] = []

    def __call__(self, run: Any) -> Callable[[], None]:
        owner, (size,) = run.func.__self__, run.args
        run()
        places = addresses(owner)
        self.captured.append(size)

        def replay() -> None:
            assert addresses(owner) == places, "a graph would go on reading the old tensor"
            self.replayed.append(size)
            run()

        return replay


def addresses(owner: object) -> dict[str, int]:
    tensors = {name: v for name, v in vars(owner).items() if isinstance(v, torch.Tensor)}
    return {name: tensor.data_ptr() for name, tensor in tensors.items()}


@pytest.fixture(params=["llama", "llama-tied", "qwen3"])
def base(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> HuggingFaceModel:
    monkeypatch.setattr(attention, "kernels_work", lambda *_: True)  # as on a GPU
    monkeypatch.setattr(kernels, "TritonAttention", PlainAttention)
    return HuggingFaceModel(random_module(request.param))


def make(base: HuggingFaceModel, most: int = 8) -> tuple[GraphedModel, LeanModel, KVCache, Any]:
    lean = lean_form(base)
    cache = KVCache(base.shapes, NUM_BLOCKS, SIZE, torch.float32, CPU)
    recorder = Recorder()
    return GraphedModel(lean, cache, most, LONGEST, recorder), lean, cache, recorder


def batch_of(starts: list[int], counts: list[int], tables: list[list[int]]) -> Batch:
    params, rng = SamplingParams(max_tokens=1), random.Random(sum(starts))
    rows = []
    for key, (start, count, table) in enumerate(zip(starts, counts, tables, strict=True)):
        tokens = [rng.randrange(250) for _ in range(start + count)]
        rows.append(Row(key, tokens, 1, start, count, table, params, 0, True))
    return build_batch(Plan(1, tuple(rows)), SIZE, CPU)


def fill(cache: KVCache, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for tensor in (*cache.keys, *cache.values):
        tensor.normal_(generator=generator)
        tensor[0] = 0


def tables_for(lengths: list[int]) -> list[list[int]]:
    free = iter(random.Random(1).sample(range(1, NUM_BLOCKS + 1), NUM_BLOCKS))
    return [[next(free) for _ in range(-(-(length + 1) // SIZE))] for length in lengths]


def test_a_replayed_step_gives_what_the_model_gives(base: HuggingFaceModel) -> None:
    graphed, lean, cache, recorder = make(base)
    # Ever other sizes and lengths: what an earlier step left in the buffers must not matter.
    for number, rows in enumerate([8, 3, 1, 5, 2, 7, 4, 6]):
        starts = [(number * 7 + row * 11) % (LONGEST - 1) for row in range(rows)]
        batch = batch_of(starts, [1] * rows, tables_for(starts))
        results = []
        for model in (lean, graphed):
            fill(cache, seed=number)
            logits = model.logits(batch, cache).clone()
            used = [t[: NUM_BLOCKS + 1].clone() for t in (*cache.keys, *cache.values)]
            results.append((logits, used))
        (expected, theirs), (got, ours) = results
        assert got.shape == expected.shape
        assert torch.allclose(got, expected, atol=1e-4)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))
        assert not cache.keys[0][0].any()
    assert recorder.replayed == [8, 4, 1, 8, 2, 8, 4, 8]


def test_the_largest_is_captured_first_and_each_once(base: HuggingFaceModel) -> None:
    *_, recorder = make(base, most=40)
    assert recorder.captured == [64, 32, 16, 8, 4, 2, 1]


@pytest.mark.parametrize(
    ("starts", "counts"),
    [([0, 5], [4, 1]), ([9], [2]), (list(range(9)), [1] * 9)],
    ids=["a chunk beside it", "a guess", "more rows than captured"],
)
def test_other_steps_run_as_ever(
    base: HuggingFaceModel, starts: list[int], counts: list[int]
) -> None:
    graphed, lean, cache, recorder = make(base)
    ends = [start + count for start, count in zip(starts, counts, strict=True)]
    batch = batch_of(starts, counts, tables_for(ends))
    fill(cache)
    expected = lean.logits(batch, cache)
    assert torch.equal(graphed.logits(batch, cache), expected)
    assert not recorder.replayed


def test_a_long_text_among_many_leaves_the_graph_that_would_not_divide_it(
    base: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphed, lean, cache, recorder = make(base)
    monkeypatch.setattr(graphs, "LONG", 40)
    monkeypatch.setattr(graphs, "DIVIDED", 2 * cache.keys[0].shape[2])
    for starts, replayed in (([39, 5, 5], [4]), ([40, 5, 5], []), ([40, 5], [2])):
        recorder.replayed.clear()
        batch = batch_of(starts, [1] * len(starts), tables_for(starts))
        fill(cache)
        expected = lean.logits(batch, cache).clone()
        fill(cache)
        assert torch.allclose(graphed.logits(batch, cache), expected, atol=1e-4)
        assert recorder.replayed == replayed


def test_it_proves_itself_as_every_form_of_a_model_does(base: HuggingFaceModel) -> None:
    graphed, _, cache, recorder = make(base)
    assert base.disagreement(graphed, cache) == ""
    assert recorder.replayed == [2, 1]


def test_a_form_may_write_all_its_logits_to_one_place(base: HuggingFaceModel) -> None:
    class OnePlace:
        vocab_size = base.vocab_size
        place = torch.zeros(2, base.vocab_size)  # its last rows

        def logits(self, batch: Batch, cache: KVCache) -> torch.Tensor:
            new = lean.logits(batch, cache)
            spoiled = new + torch.randn_like(new) * spoil.pop(0)
            return self.place[len(self.place) - len(new) :].copy_(spoiled)

    _, lean, cache, _ = make(base)
    spoil = [0, 0, 1, 0]  # the row in company is wrong, the one that comes last is right
    assert "apart" in base.disagreement(OnePlace(), cache)


def test_padding_that_is_not_a_number_stays_padding(base: HuggingFaceModel) -> None:
    graphed, lean, cache, _ = make(base)
    starts = [10, 20, 30]
    batch = batch_of(starts, [1] * 3, tables_for(starts))
    fill(cache)
    expected = lean.logits(batch, cache).clone()
    fill(cache)
    for tensor in (*cache.keys, *cache.values):
        tensor[cache.spill] = torch.nan
    assert torch.allclose(graphed.logits(batch, cache), expected, atol=1e-4)


def test_what_is_captured_has_run_before_where_it_serves_and_shares_one_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kernel cannot be compiled in a capture, and cuBLAS keeps memory for each stream it saw."""
    seen: list[str] = []

    class Graph:
        def pool(self) -> str:
            return "pool"

        def replay(self) -> None:
            seen.append("replay")

    @contextmanager
    def graph(graph: Graph, pool: str | None) -> Iterator[None]:
        seen.append(f"begin in {pool}")
        yield
        seen.append("end")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: pytest.fail("a stream of its own"))
    capture = CudaCapture()
    replays = [capture(lambda: seen.append("run")) for _ in range(2)]
    first, second = ["run", "begin in None", "run", "end"], ["run", "begin in pool", "run", "end"]
    assert seen == [*first, *second]
    replays[0]()
    assert seen[-1] == "replay"


def test_the_ladder_doubles_while_padding_is_free() -> None:
    assert ladder(1) == [1]
    assert ladder(5) == [1, 2, 4, 8]
    assert ladder(100) == [1, 2, 4, 8, 16, 32, 64, 96, 128]
    assert ladder(256)[-1] == ladder(1000)[-1] == 256
