"""Weights rounded to int8: near the float ones, a quarter of their size, and served like others."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inference.engine import quantised
from inference.engine.__main__ import build_parser, build_served
from inference.engine.family import misfit
from inference.engine.model import HuggingFaceModel
from inference.engine.quantised import FEW, Int8Linear, num_weights, quantise, rounded
from tests.inference.engine.checkpoint import write_checkpoint
from tests.inference.engine.tiny import CONFIGS, lean_form, make_bench, random_module


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_each_weight_is_rounded_to_the_nearest_of_its_rows_steps() -> None:
    weight = torch.randn(40, 64) * torch.logspace(-6, 2, 40).unsqueeze(1)
    values, scales = rounded(weight)
    step = weight.abs().amax(1) / 127
    error = (values * scales.unsqueeze(1) - weight).abs().amax(1)
    # Half a step, and what a scale of bfloat16's numbers may cut off at the ends.
    assert (error <= step * 0.76).all()
    assert torch.equal(scales, scales.bfloat16().float())


def test_a_row_of_zeros_stays_zeros() -> None:
    values, scales = rounded(torch.zeros(2, 16))
    assert not values.any()
    assert scales.isfinite().all()


# 20 is no multiple of the inputs that PyTorch's product reads at a time; 70,000 rows are widened in
# parts.
@pytest.mark.parametrize("shape", [(48, 64), (33, 20), (70_000, 64)], ids=str)
@pytest.mark.parametrize("rows", [1, FEW, FEW + 1], ids=lambda rows: f"{rows} rows")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_its_products_are_those_of_the_rounded_weights(
    shape: tuple[int, int], rows: int, dtype: torch.dtype
) -> None:
    layer = Int8Linear(*rounded(torch.randn(shape)), torch.randn(shape[0]).to(dtype))
    x = torch.randn(2, rows, shape[1])[0].to(dtype)
    assert layer.bias is not None
    weight = layer.values.double() * layer.scales.double().unsqueeze(1)
    expected = x.double() @ weight.T + layer.bias.double()
    out = layer(x)
    assert out.dtype == dtype
    off = (out.double() - expected).abs()
    assert (off <= 2e-2 * expected.std() + 1e-2 * expected.abs()).all()


def test_a_gpu_widens_a_matrix_of_a_large_model_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    products: list[int] = []
    real = quantised.linear

    def noted(x: Tensor, weight: Tensor) -> Tensor:
        products.append(len(weight))
        return real(x, weight)

    monkeypatch.setattr(quantised, "linear", noted)
    for rows, width in ((28_672, 4096), (128_256, 4096)):  # an 8B Llama's widest, and its head
        values = torch.empty(rows, width, dtype=torch.int8, device="meta")
        layer = Int8Linear(values, torch.empty(rows, device="meta"), None)
        assert layer(torch.empty(3, width, dtype=torch.bfloat16, device="meta")).shape == (3, rows)
    assert products == [28_672, *[1 << 15] * 3, 128_256 - 3 * (1 << 15)]


def test_joined_products_share_their_memory_with_the_parts() -> None:
    parts = [Int8Linear(*rounded(torch.randn(n, 32)), None) for n in (16, 8)]
    x = torch.randn(3, 32)
    before = torch.cat([part(x) for part in parts], -1)
    joined = Int8Linear.joined(parts)
    assert torch.equal(joined(x), before)
    assert len({part.values.untyped_storage().data_ptr() for part in (*parts, joined)}) == 1


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_every_form_of_a_model_agrees_with_its_own_attention(name: str) -> None:
    module = random_module(name)
    quantise(module)
    assert not [child for child in module.modules() if isinstance(child, nn.Linear)]
    model = HuggingFaceModel(module)
    model.verify(16)
    if not misfit(model):
        assert model.disagreement(lean_form(model), model.exact_cache(16)) == ""


def test_its_logits_are_near_those_of_the_floats() -> None:
    exact, module = random_module("llama-tied"), random_module("llama-tied")
    quantise(module)
    for model in (exact, module):
        model.set_attn_implementation("eager")
    ids = torch.arange(40).unsqueeze(0)
    theirs, ours = (model(ids).logits.detach() for model in (exact, module))
    assert 0 < (ours - theirs).std() < 0.1 * theirs.std()


@pytest.mark.parametrize("name", ["llama", "llama-tied", "gpt2"])
def test_the_floats_are_let_go(name: str) -> None:
    module = random_module(name)
    weights, before = num_weights(module), sum(storages(module).values())
    floats = weakref.ref(module.get_output_embeddings().weight)
    quantise(module)
    gc.collect()
    assert floats() is None
    assert num_weights(module) == weights
    rounded_now = [child for child in module.modules() if isinstance(child, Int8Linear)]
    # Three bytes of each four, less a scale for each 48 weights.
    saving = 0.7 * 4 * sum(child.values.numel() for child in rounded_now)
    assert before - sum(storages(module).values()) > saving
    if name != "gpt2":
        assert before - sum(storages(module, *products(module)).values()) > saving


def storages(*modules: nn.Module) -> dict[int, int]:
    """Bytes behind all numbers of some modules, by address: what is shared is there once."""
    tensors: list[Tensor] = []
    for module in modules:
        tensors += [*module.parameters(), *module.buffers()]
    held = [tensor.untyped_storage() for tensor in tensors]
    return {storage.data_ptr(): storage.nbytes() for storage in held}


def products(module: Any) -> list[Int8Linear]:
    """What the lean form holds beside the module."""
    lean = lean_form(HuggingFaceModel(module))
    found: list[Any] = [lean._head]
    for layer in lean._layers:
        found += [layer.qkv, layer.out, layer.gate_up, layer.down]
    assert all(isinstance(product, Int8Linear) for product in found)
    return found


def test_a_model_without_linear_layers_is_refused() -> None:
    module: Any = nn.Module()
    module.get_input_embeddings = module.get_output_embeddings = lambda: None
    module.config = CONFIGS["llama"]
    with pytest.raises(ValueError, match="no linear layers"):
        quantise(module)


def test_an_engine_serves_it_under_another_revision(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    line = ["--path", str(tmp_path), "--device", "cpu"]
    plain = build_served(build_parser().parse_args(line))
    small = build_served(build_parser().parse_args([*line, "--quantize", "int8"]))
    assert small.revision != plain.revision
    assert (plain.dtype, small.dtype) == ("float32", "bfloat16, int8 weights")


def test_it_generates_the_same_alone_and_in_company() -> None:
    """Not the last bits, but these logits are far apart: a wrong row would show."""
    module = random_module("llama")
    quantise(module)
    model = HuggingFaceModel(module)
    texts = []
    for company in (0, 20):
        bench = make_bench(model, form=lambda _: lean_form(model))
        outcome = bench.submit(list(range(30)), max_tokens=12)
        for other in range(company):
            bench.submit([other * 3, 7], max_tokens=12)
        bench.run()
        texts.append(outcome.token_ids)
    assert texts[0] == texts[1]
