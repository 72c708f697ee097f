"""An engine is put together to fit the model and the machine, or refused with the reason."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.engine import build
from inference.engine.__main__ import build_parser
from inference.engine.build import (
    EngineSizes,
    assemble,
    build_real,
    choose_cache_dtype,
    choose_dtype,
    digest,
    eos_token_ids,
    has_half_the_bits,
    physical_cores,
)
from inference.engine.fake_codec import FakeCodec
from inference.engine.kv_cache import bytes_per_block
from inference.engine.model import PROOF_TOKENS, HuggingFaceModel
from inference.engine.support import read_config
from tests.inference.engine.tiny import CONFIGS, random_module

SIZES = EngineSizes(max_running=4, max_waiting=8)


@pytest.fixture(scope="module")
def model() -> HuggingFaceModel:
    return HuggingFaceModel(random_module("llama"))


def put_together(model: HuggingFaceModel, **sizes: Any) -> Any:
    return assemble("tiny", "1", model, FakeCodec(), replace(SIZES, **sizes))


def test_it_takes_the_models_own_context_and_room_for_all_running_sequences(
    model: HuggingFaceModel,
) -> None:
    scheduler = put_together(model).scheduler
    assert scheduler.limits.max_model_len == 512
    assert scheduler.pool.num_blocks == 4 * 512 // 16


def test_its_cache_fills_what_it_is_allowed_and_no_more(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def room(device: torch.device, fraction: float, shares: int) -> int:
        return int(1000 * fraction / shares) * bytes_per_block(model.shapes, 16, model.dtype)

    monkeypatch.setattr(build, "cache_room", room)
    pool = put_together(model, memory_fraction=0.1, memory_shares=2).scheduler.pool
    assert pool.num_blocks == 50 - 2  # which are nobody's


@pytest.mark.parametrize(
    "sizes",
    [{"max_model_len": 16, "max_running": 1}, {"block_size": 1}, {"block_size": 5}],
    ids=str,
)
def test_a_model_can_prove_itself_in_however_few_or_short_blocks(
    model: HuggingFaceModel, sizes: dict[str, int]
) -> None:
    """Proofs write to the cache that will serve; C looks at no bounds."""
    served = put_together(model, **sizes)
    cache = served.runner._cache
    assert (cache.spill - 1) * cache.block_size >= 2 * PROOF_TOKENS
    assert served.scheduler.pool.num_blocks < cache.spill


def test_it_knows_what_a_block_takes(model: HuggingFaceModel) -> None:
    layers, heads, dim, numbers = 3, 2, 16, 2
    assert bytes_per_block(model.shapes, 16, model.dtype) == layers * heads * dim * numbers * 16 * 4


def test_numbers_of_half_the_bits_make_room_for_twice_the_blocks(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, half = (bytes_per_block(model.shapes, 16, d) for d in (torch.float32, torch.bfloat16))
    assert whole == 2 * half
    monkeypatch.setattr(build, "cache_room", lambda *_: 50 * whole)
    served = put_together(model, kv_cache_dtype=torch.bfloat16)
    assert served.scheduler.pool.num_blocks == 100 - 2
    assert served.runner._cache.dtype is torch.bfloat16
    assert served.dtype == "float32"
    assert served.arithmetic


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"max_model_len": 513}, "at most 512"),
        ({"memory_fraction": 1e-9}, "fit into the memory"),
        ({"kv_blocks": 3}, "fewer than one"),
    ],
)
def test_it_says_why_it_does_not_fit(
    model: HuggingFaceModel, sizes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        put_together(model, **sizes)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--max-model-len 513", "at most 512 tokens, not 513"),
        ("--token-budget 63", "cover one token for each of 64 running"),
        ("--token-budget 3 --max-running 4", "cover one token for each of 4 running"),
    ],
)
def test_what_cannot_fit_is_refused_before_the_weights_are_read(
    options: str, reason: str, tmp_path: Path
) -> None:
    save_config(tmp_path, "llama", torch.float32)  # and nothing else
    args = build_parser().parse_args(["--path", str(tmp_path), "--device=cpu", *options.split()])
    with pytest.raises(ValueError, match=reason):
        build_real(args)


@pytest.mark.parametrize(
    ("said", "ends"),
    [(None, (256, 258)), (7, (7,)), ([7, 0], (7, 0)), (-1, ()), ([-1, 7], (7,))],
)
def test_it_finds_the_ends_of_a_generation(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch, said: Any, ends: tuple[int, ...]
) -> None:
    monkeypatch.setattr(model, "generation_eos", said)
    assert eos_token_ids(model) == ends


def test_its_revision_changes_with_the_weights_and_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    first = digest(str(tmp_path))
    assert digest(str(tmp_path)) == first
    (tmp_path / "model.safetensors").write_bytes(bytes(999) + b"1")
    second = digest(str(tmp_path))
    (tmp_path / "config.json").write_text("{ }")
    assert len({first, second, digest(str(tmp_path))}) == 3


def test_it_counts_at_least_one_core() -> None:
    assert physical_cores() >= 1


@pytest.mark.parametrize(
    ("family", "weights", "multiplies", "chosen"),
    [
        ("llama", torch.bfloat16, True, torch.bfloat16),
        ("llama", torch.bfloat16, False, torch.float32),
        ("llama", torch.float32, True, torch.float32),
        ("gpt2", torch.bfloat16, True, torch.float32),
    ],
)
def test_on_a_cpu_it_halves_the_bits_only_where_that_is_exact_and_fast(
    family: str,
    weights: torch.dtype,
    multiplies: bool,
    chosen: torch.dtype,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build, "multiplies_bfloats", lambda: multiplies)
    save_config(tmp_path, family, weights)
    halvable = has_half_the_bits(read_config(str(tmp_path)))
    for wanted, dtype in (("auto", chosen), ("float16", torch.float16)):
        args = build_parser().parse_args(["--dtype", wanted])
        assert choose_dtype(args, halvable, torch.device("cpu")) is dtype


def save_config(folder: Path, family: str, weights: torch.dtype) -> None:
    config = copy.deepcopy(CONFIGS[family])
    config.dtype = weights
    config.save_pretrained(folder)


@pytest.mark.parametrize(
    ("family", "weights", "options", "model_dtype", "chosen"),
    [
        ("llama", torch.bfloat16, "", torch.float32, torch.bfloat16),
        ("llama", torch.bfloat16, "", torch.bfloat16, torch.bfloat16),
        ("llama", torch.float32, "", torch.float32, torch.float32),
        ("gpt2", torch.bfloat16, "", torch.float32, torch.float32),
        ("llama", torch.bfloat16, "--dtype float32", torch.float32, torch.float32),
        ("llama", torch.bfloat16, "--kv-cache-dtype float32", torch.bfloat16, torch.float32),
        ("gpt2", torch.float32, "--kv-cache-dtype bfloat16", torch.float32, torch.bfloat16),
    ],
)
def test_the_cache_has_the_dtype_of_the_checkpoint_or_the_one_that_is_asked_for(
    family: str,
    weights: torch.dtype,
    options: str,
    model_dtype: torch.dtype,
    chosen: torch.dtype,
    tmp_path: Path,
) -> None:
    save_config(tmp_path, family, weights)
    args = build_parser().parse_args(["--path", str(tmp_path), *options.split()])
    halvable = has_half_the_bits(read_config(str(tmp_path)))
    assert choose_cache_dtype(args, halvable, torch.device("cpu"), model_dtype) is chosen


def test_on_gpus_the_cache_has_the_models_own_dtype() -> None:
    gpu = torch.device("cuda")
    for wanted in ("auto", "float32"):
        args = build_parser().parse_args(["--kv-cache-dtype", wanted])
        assert choose_cache_dtype(args, True, gpu, torch.float32) is torch.float32
    with pytest.raises(ValueError, match="--kv-cache-dtype must be bfloat16"):
        choose_cache_dtype(args, True, gpu, torch.bfloat16)
