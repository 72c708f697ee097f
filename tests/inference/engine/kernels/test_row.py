"""The product of a single row, run in Triton's interpreter, with what stands around it."""

import pytest
import torch
from torch.nn.functional import linear, rms_norm, silu

import tests.interpreted  # noqa: F401  quicker
from inference.engine.kernels import layer
from inference.engine.kernels.row import row_product
from inference.engine.linear import Linear
from inference.engine.operations import TorchOperations
from inference.engine.quantised import Int8Linear, rounded

EPSILON = 1e-5
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1e-2}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize(("width", "outputs"), [(64, 4), (600, 37), (1024, 9)])
def test_it_is_the_product_of_the_normed_sum(
    width: int, outputs: int, *, adds: bool, normed: bool, gated: bool, biased: bool,
    dtype: torch.dtype,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    x, added = torch.randn(2, 1, width).to(dtype)
    norm = torch.randn(width).to(dtype)
    weight = (torch.randn(outputs * (2 if gated else 1), width) / 8).to(dtype)
    bias = torch.randn(len(weight)).to(dtype)
    before = x.clone()
    summed, out = row_product(
        x, added if adds else None, norm if normed else None, EPSILON, weight,
        bias if biased else None, gated=gated,
    )  # fmt: skip
    whole = (x.float() + added.float()).to(dtype) if adds else x
    exact = summed.double()  # the next layer adds to the rounded sum, so this one has to read it
    if normed:
        exact = rms_norm(exact, (width,), norm.double(), EPSILON)
    exact = linear(exact, weight.double(), bias.double() if biased else None)
    if gated:
        gate, up = exact.chunk(2, -1)
        exact = silu(gate) * up
    assert torch.equal(x, before)
    assert torch.allclose(summed.float(), whole.float(), rtol=0.01 if dtype != torch.float32 else 0)
    assert out.dtype == dtype
    assert out.shape == exact.shape
    assert (out.double() - exact).norm() <= TOLERANCE[dtype] * exact.norm()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(("width", "outputs"), [(64, 4), (1030, 7)])
def test_rounded_weights_are_multiplied_as_they_are_and_scaled_at_the_end(
    width: int, outputs: int, *, gated: bool, biased: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    x, norm = torch.randn(1, width).to(dtype), torch.randn(width).to(dtype)
    values, scales = rounded(torch.randn(outputs * (2 if gated else 1), width) / 8)
    bias = torch.randn(len(values)).to(dtype)
    _, out = row_product(
        x, None, norm, EPSILON, values, bias if biased else None, scales=scales, gated=gated
    )
    weight = values.double() * scales.double().unsqueeze(1)
    exact = rms_norm(x.double(), (width,), norm.double(), EPSILON)
    exact = linear(exact, weight, bias.double() if biased else None)
    if gated:
        gate, up = exact.chunk(2, -1)
        exact = silu(gate) * up
    assert (out.dtype, out.shape) == (dtype, exact.shape)
    assert (out.double() - exact).norm() <= TOLERANCE[dtype] * exact.norm()


@pytest.mark.parametrize("kind", ["float", "rounded"])
def test_a_row_alone_and_one_in_company_are_mapped_alike(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a GPU: weights are not laid out anew for the CPU's library.
    monkeypatch.setattr("inference.engine.linear._backend.is_available", lambda: False)
    fast, reference = layer.TritonOperations(), TorchOperations()
    torch.manual_seed(0)
    x, added = torch.randn(2, 1, 96)
    norm = torch.randn(96)
    weight, bias = torch.randn(40, 96), torch.randn(40)
    product = Int8Linear(*rounded(weight), bias) if kind == "rounded" else Linear(weight, bias)
    called = []
    real = layer.row_product
    monkeypatch.setattr(layer, "row_product", lambda *a, **k: called.append(1) or real(*a, **k))
    for name, arguments in (
        ("product", ()),
        ("normed_product", (added, norm, EPSILON)),
        ("gated_product", (added, norm, EPSILON)),
    ):
        for rows in (1, 2):
            there = [
                a.clone().expand(rows, -1).contiguous() if a is added else a for a in arguments
            ]
            ours, theirs = (
                getattr(way, name)(x.repeat(rows, 1), *there, product) for way in (fast, reference)
            )
            pairs = [(ours, theirs)] if name == "product" else list(zip(ours, theirs, strict=True))
            # PyTorch's own product of rounded weights takes bfloat16 on CPUs.
            near = 2e-2 if kind == "rounded" else 2e-6
            assert all((a - b).norm() <= near * b.norm() for a, b in pairs)
    assert len(called) == 3, "one for each kind of product, of the single row only"
