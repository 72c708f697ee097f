"""int8 weights in the decoder in C: the rounded numbers themselves, wherever they are widened."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inference.engine.company import arithmetic
from inference.engine.family import take_weights
from inference.engine.lean import LeanModel
from inference.engine.model import HuggingFaceModel
from inference.engine.native import decoder
from inference.engine.native.decoder import in_panels
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan
from inference.engine.quantised import Int8Embedding, Int8Linear, quantise
from tests.inference.engine.native.models import (
    SHAPES,
    cache_of,
    logits_of,
    native,
    random_model,
    rounded_model,
    row,
    steps_of,
)

WHOLE, HALF = torch.float32, torch.bfloat16
TOLERANCE = {WHOLE: 1e-5, HALF: 0.03}  # activations are rounded, too


def widened(model: HuggingFaceModel) -> LeanModel:
    """The same rounded numbers as floats, run by operators in float32."""
    module = copy.deepcopy(model.module).float()
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Int8Linear):
                setattr(parent, name, as_floats(child))
            elif isinstance(child, Int8Embedding):
                setattr(parent, name, torch.nn.Embedding.from_pretrained(values_of(child.head)))
    whole = HuggingFaceModel(module)
    return LeanModel(take_weights(whole), whole.shapes)


def values_of(layer: Int8Linear) -> Tensor:
    return layer.values * layer.scales.unsqueeze(1)


def as_floats(layer: Int8Linear) -> torch.nn.Linear:
    linear = torch.nn.Linear(*reversed(layer.values.shape), bias=layer.bias is not None)
    linear.weight.data = values_of(layer)
    if layer.bias is not None:
        linear.bias.data = layer.bias.float()
    return linear


@pytest.mark.parametrize("name", SHAPES)
def test_it_computes_with_the_rounded_numbers_themselves(name: str) -> None:
    model = rounded_model(name, WHOLE)
    plans, cache, other = steps_of(16), cache_of(model, 16), cache_of(model, 16)
    ours = logits_of(native(take_weights(model), cache), cache, plans)
    for a, b in zip(ours, logits_of(widened(model), other, plans), strict=True):
        assert (a - b).abs().max() <= 2e-5 * b.std()


@pytest.mark.parametrize("tokens", [1, 5, 9, 11, 97, 123])
@pytest.mark.parametrize("dtype", [WHOLE, HALF], ids=str)
def test_every_position_of_a_prompt_may_become_logits(tokens: int, dtype: torch.dtype) -> None:
    model = rounded_model("biases", dtype)
    ids = torch.randint(0, 77, (130,), generator=torch.Generator().manual_seed(3)).tolist()
    params = SamplingParams(max_tokens=1, prompt_logprobs=0)
    whole = replace(row(1, ids, 0, tokens, list(range(1, 10))), params=params)
    cache, other = cache_of(model, 16), cache_of(model, 16, WHOLE)
    (ours,) = logits_of(native(take_weights(model), cache), cache, [Plan(0, (whole,))])
    (exact,) = logits_of(widened(model), other, [Plan(0, (whole,))])
    assert ours.shape == (tokens, 77)
    assert (ours - exact).norm() <= TOLERANCE[dtype] * exact.norm()


@pytest.mark.parametrize("dtype", [WHOLE, HALF], ids=str)
def test_an_embedding_that_is_the_head_is_read_from_the_same_numbers(dtype: torch.dtype) -> None:
    module = random_model("odd widths", dtype).module
    module.config.tie_word_embeddings = True
    module.lm_head.weight = module.model.embed_tokens.weight
    quantise(module)
    model = HuggingFaceModel(module)
    weights = take_weights(model)
    assert isinstance(weights.embedding, Int8Embedding)
    cache, other = cache_of(model, 16), cache_of(model, 16, WHOLE)
    ours = torch.cat(logits_of(native(weights, cache), cache, steps_of(16)))
    exact = torch.cat(logits_of(widened(model), other, steps_of(16)))
    assert (ours - exact).norm() <= TOLERANCE[dtype] * exact.norm()


@pytest.mark.parametrize("name", ["large groups", "biases", "turned in part"])
def test_in_half_the_bits_it_is_nearer_to_the_truth_than_the_operators(name: str) -> None:
    errors = torch.zeros(2)
    for seed in range(5):
        model = rounded_model(name, HALF, seed)
        weights, plans = take_weights(model), steps_of(16)
        caches = [cache_of(model, 16) for _ in range(2)]
        forms = native(weights, caches[0]), LeanModel(weights, model.shapes)
        truth = torch.cat(logits_of(widened(model), cache_of(model, 16, WHOLE), plans))
        errors += torch.stack(
            [
                (torch.cat(logits_of(form, cache, plans)) - truth).norm()
                for form, cache in zip(forms, caches, strict=True)
            ]
        )
    assert errors[0] < errors[1]


@pytest.mark.parametrize("dtype", [WHOLE, HALF], ids=str)
@pytest.mark.parametrize("name", ["large groups", "odd widths", "biases"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_tokens_bits_do_not_depend_on_what_runs_beside_it(
    dtype: torch.dtype, name: str, threads: int
) -> None:
    """A single tile widens what it meets, and many tiles meet what was widened before."""
    model = rounded_model(name, dtype)
    cache, before = cache_of(model, 16), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        one = native(take_weights(model), cache)
        together = logits_of(one, cache, steps_of(16))[-1][0]
        whole = replace(steps_of(16)[-1].rows[0], start=0, num_tokens=140)
        assert torch.equal(logits_of(one, cache, [Plan(0, (whole,))])[-1][0], together)
        for size in (1, 2, 4, 7):
            pieces = [replace(whole, start=p, num_tokens=size) for p in range(0, 140, size)]
            plans = [Plan(0, (piece,)) for piece in pieces]
            assert torch.equal(logits_of(one, cache, plans)[-1][0], together)
        assert arithmetic(one, cache) != ""
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["large groups", "biases", "turned in part"])
def test_the_widest_form_gives_what_the_next_one_gives(name: str) -> None:
    model = rounded_model(name, HALF)
    weights, caches = take_weights(model), [cache_of(model, 16) for _ in range(2)]
    widest = native(weights, caches[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            decoder, "_choose_kind", lambda *_: max(widest._kind - 1, decoder.BFLOAT_WEIGHTS)
        )
        narrower = native(weights, caches[1])
    a, b = (
        torch.cat(logits_of(form, cache, steps_of(16)))
        for form, cache in zip((widest, narrower), caches, strict=True)
    )
    assert (a - b).norm() <= 0.02 * b.norm()


def test_a_weight_takes_a_byte() -> None:
    model = rounded_model("many heads", HALF)
    numbers = sum(m.values.numel() for m in model.module.modules() if isinstance(m, Int8Linear))
    one = native(take_weights(model), cache_of(model, 16))
    held = [tensor for tensor in one._kept if tensor.dtype is torch.int8]
    padding = (96 - 77) * 64  # of the head's last panel
    assert sum(tensor.numel() for tensor in held) == numbers + padding


def test_panels_of_bytes_lie_as_those_of_bfloats() -> None:
    weight = torch.randint(-127, 128, (40, 48), dtype=torch.int8)
    bytes_, bfloats = in_panels(weight, decoder.BFLOATS), in_panels(weight.float(), decoder.BFLOATS)
    assert bytes_.dtype is torch.int8
    assert torch.equal(bytes_.bfloat16(), bfloats)
