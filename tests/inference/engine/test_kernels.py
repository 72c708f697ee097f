"""The C kernels do what PyTorch's operators do, and are not missed where they cannot be made."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inference.engine import kernels
from inference.engine.kernels import DTYPES, LARGEST_HEAD, Kernels, load_kernels
from inference.engine.lean import TorchOperations

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1e-2}
REFERENCE = TorchOperations()


@pytest.fixture(params=sorted(DTYPES, key=str), ids=str)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    torch.manual_seed(0)
    return request.param


@pytest.fixture
def fast(dtype: torch.dtype) -> Kernels:
    loaded = load_kernels(dtype)
    assert loaded is not None
    return loaded


def same(ours: Tensor, theirs: Tensor) -> None:
    assert ours.dtype == theirs.dtype
    spread = theirs.float().abs().max()
    assert torch.allclose(ours.float(), theirs.float(), rtol=0, atol=TOLERANCE[ours.dtype] * spread)


# (1000, 48) is enough work for two threads.
@pytest.mark.parametrize("shape", [(1, 48), (5, 33), (1000, 48)])
def test_it_adds_and_normalises(fast: Kernels, dtype: torch.dtype, shape: tuple[int, int]) -> None:
    x, added, weight = (
        torch.randn(shape).to(dtype),
        torch.randn(shape).to(dtype),
        torch.randn(shape[1]).to(dtype),
    )
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
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("rows", [1, 7, 900])
def test_it_gates(fast: Kernels, dtype: torch.dtype, rows: int) -> None:
    both = (torch.randn(rows, 88) * 20).to(dtype)  # far enough out for exp to reach its ends
    same(fast.silu_product(both), REFERENCE.silu_product(both))


@pytest.mark.parametrize("half", [8, 4])
@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("tokens", [1, 300])
def test_it_rotates_and_stores(
    fast: Kernels, dtype: torch.dtype, half: int, normed: bool, tokens: int
) -> None:
    heads, kv_heads, dim = 6, 2, 16
    qkv = torch.randn(tokens, (heads + 2 * kv_heads) * dim).to(dtype)
    angles = torch.randn(512, half)
    positions, slots = torch.randint(0, 512, (tokens,)), torch.randperm(320)[:tokens]
    norms = (torch.randn(dim).to(dtype), torch.randn(dim).to(dtype)) if normed else None
    caches = [[torch.zeros(20, 16, kv_heads, dim, dtype=dtype) for _ in range(2)] for _ in range(2)]
    ours, theirs = (
        way.rotate_and_store(qkv, angles.cos(), angles.sin(), positions, slots, norms, 1e-5, *cache)
        for way, cache in zip((fast, REFERENCE), caches, strict=True)
    )
    same(ours, theirs)
    for our_cache, their_cache in zip(*caches, strict=True):
        same(our_cache, their_cache)


def test_not_a_number_stays_one(fast: Kernels, dtype: torch.dtype) -> None:
    x = torch.ones(2, 32, dtype=dtype)
    x[0, 3] = torch.nan
    normed = fast.add_rms_norm(x, None, torch.ones(32, dtype=dtype), 1e-5)
    gated = fast.silu_product(x)
    for out in (normed, gated):
        assert out[0].isnan().any()
        assert out[1].isfinite().all()


def test_a_row_does_not_depend_on_the_others(fast: Kernels, dtype: torch.dtype) -> None:
    both = torch.randn(64, 512).to(dtype)
    weight = torch.randn(512).to(dtype)
    for way in (fast.silu_product, lambda x: fast.add_rms_norm(x.clone(), None, weight, 1e-5)):
        assert torch.equal(way(both)[17:18], way(both[17:18]))


def test_its_largest_head_is_the_sources() -> None:
    assert f"#define MAX_HEAD {LARGEST_HEAD}\n" in kernels.SOURCE.read_text()


def test_without_a_compiler_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    with caplog.at_level(logging.WARNING):
        assert load_kernels(torch.float32) is None
    assert "models run slower" in caplog.text


def test_a_broken_compiler_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 1 && exit 0\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert load_kernels(torch.float32) is None
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_other_dtypes_have_none() -> None:
    assert load_kernels(torch.float16) is None
