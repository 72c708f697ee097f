"""The GPU's kernels, run in Triton's interpreter, do what PyTorch's operators do."""

import pytest
import torch
from torch import Tensor

import tests.interpreted  # noqa: F401  quicker
from inference.engine.kernels.layer import TritonOperations
from inference.engine.operations import TorchOperations

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1e-2}
REFERENCE = TorchOperations()


@pytest.fixture(scope="module")
def fast() -> TritonOperations:
    """The operations; `tests/environment.py` asks for the interpreter."""
    return TritonOperations()


@pytest.fixture(params=sorted(TOLERANCE, key=str), ids=str)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    torch.manual_seed(0)
    return request.param


def same(ours: Tensor, theirs: Tensor) -> None:
    assert ours.dtype == theirs.dtype
    spread = theirs.float().abs().max()
    assert torch.allclose(ours.float(), theirs.float(), rtol=0, atol=TOLERANCE[ours.dtype] * spread)


@pytest.mark.parametrize("shape", [(1, 48), (5, 33), (3, 1024)])
def test_it_adds_and_normalises(
    fast: TritonOperations, dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    x, added = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
    weight = torch.randn(shape[1]).to(dtype)
    ours, theirs = x.clone(), x.clone()
    same(
        fast.add_rms_norm(ours, None, weight, 1e-5),
        REFERENCE.add_rms_norm(theirs, None, weight, 1e-5),
    )
    assert torch.equal(ours, x)
    same(
        fast.add_rms_norm(ours, added, weight, 1e-5),
        REFERENCE.add_rms_norm(theirs, added, weight, 1e-5),
    )
    # The interpreter cuts to bfloat16 where a GPU rounds: there, close is all that can be asked.
    assert torch.equal(ours, theirs) if dtype == torch.float32 else same(ours, theirs) is None


@pytest.mark.parametrize("shape", [(1, 88), (7, 1030)])
def test_it_gates(fast: TritonOperations, dtype: torch.dtype, shape: tuple[int, int]) -> None:
    both = (torch.randn(shape[0], 2 * shape[1]) * 20).to(dtype)  # far enough out for exp's ends
    same(fast.silu_product(both), REFERENCE.silu_product(both))


# Whole heads rotated, a part of them (an even and an odd rest), and more heads than a program has.
@pytest.mark.parametrize(
    ("heads", "kv_heads", "dim", "half"),
    [(6, 2, 16, 8), (4, 4, 20, 4), (4, 1, 20, 8), (20, 10, 24, 12), (9, 3, 16, 3)],
)
@pytest.mark.parametrize("normed", [True, False])
def test_it_rotates_and_stores(
    fast: TritonOperations,
    dtype: torch.dtype,
    heads: int,
    kv_heads: int,
    dim: int,
    half: int,
    normed: bool,
) -> None:
    tokens = 7
    qkv = torch.randn(tokens, (heads + 2 * kv_heads) * dim).to(dtype)
    angles = torch.randn(512, half)
    positions, slots = torch.randint(0, 512, (tokens,)), torch.randperm(320)[:tokens]
    norms = (torch.randn(dim).to(dtype), torch.randn(dim).to(dtype)) if normed else None
    caches = [[torch.ones(20, 16, kv_heads, dim, dtype=dtype) for _ in range(2)] for _ in range(2)]
    ours, theirs = (
        way.rotate_and_store(qkv, angles.cos(), angles.sin(), positions, slots, norms, 1e-5, *cache)
        for way, cache in zip((fast, REFERENCE), caches, strict=True)
    )
    same(ours, theirs)
    for our_cache, their_cache in zip(*caches, strict=True):
        same(our_cache, their_cache)
        untouched = torch.ones(320, dtype=torch.bool).index_fill_(0, slots, False)
        assert (our_cache.flatten(0, 1)[untouched] == 1).all()


def test_not_a_number_stays_one(fast: TritonOperations, dtype: torch.dtype) -> None:
    x = torch.ones(2, 32, dtype=dtype)
    x[0, 3] = torch.nan
    normed = fast.add_rms_norm(x, None, torch.ones(32, dtype=dtype), 1e-5)
    gated = fast.silu_product(x)
    for out in (normed, gated):
        assert out[0].isnan().any()
        assert out[1].isfinite().all()


def test_a_row_does_not_depend_on_the_others(fast: TritonOperations, dtype: torch.dtype) -> None:
    both = torch.randn(6, 512).to(dtype)
    weight = torch.randn(512).to(dtype)
    for way in (fast.silu_product, lambda x: fast.add_rms_norm(x.clone(), None, weight, 1e-5)):
        assert torch.equal(way(both)[4:5], way(both[4:5]))
