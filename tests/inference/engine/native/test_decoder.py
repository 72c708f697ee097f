"""The decoder in C gives what the same decoder gives as PyTorch operators, whatever its shape."""

import copy
import platform
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inference.engine.family import take_weights
from inference.engine.lean import LeanModel
from inference.engine.model import HuggingFaceModel
from inference.engine.native import compiler, decoder
from inference.engine.native.compiler import FOLDER
from inference.engine.native.decoder import BFLOAT_WEIGHTS, BFLOATS, in_panels, native_decoder
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan
from tests.inference.engine.native.models import (
    PARAMS,
    SHAPES,
    cache_of,
    logits_of,
    native,
    random_model,
    rounded_model,
    row,
    steps_of,
)
from tests.inference.engine.tiny import lean_form

WHOLE, HALF = torch.float32, torch.bfloat16
DTYPES = [(WHOLE, WHOLE), (HALF, HALF), (WHOLE, HALF)]  # of the model and its cache


@pytest.mark.parametrize("block_size", [16, 48])
@pytest.mark.parametrize("name", SHAPES)
def test_it_gives_what_the_operators_give(name: str, block_size: int) -> None:
    model = random_model(name, torch.float32)
    weights, plans = take_weights(model), steps_of(block_size)
    cache, other = cache_of(model, block_size), cache_of(model, block_size)
    ours = logits_of(native(weights, cache), cache, plans)
    theirs = logits_of(LeanModel(weights, model.shapes), other, plans)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype is torch.float32
        assert (a - b).abs().max() <= 2e-5 * b.std()


@pytest.mark.parametrize("name", SHAPES)
def test_a_cache_of_half_the_bits_is_met_by_whole_queries_and_weights(name: str) -> None:
    model = random_model(name, WHOLE)
    weights, plans = take_weights(model), steps_of(16)
    cache, other = cache_of(model, 16, HALF), cache_of(model, 16, HALF)
    ours = torch.cat(logits_of(native(weights, cache), cache, plans))
    theirs = torch.cat(logits_of(LeanModel(weights, model.shapes), other, plans))
    assert (ours - theirs).norm() <= 1e-3 * theirs.norm()  # rounded to the other side, now and then


@pytest.mark.parametrize("name", ["many heads", "groups of three"])
def test_a_cache_of_whole_numbers_suits_a_model_of_half_the_bits(name: str) -> None:
    model = random_model(name, HALF)
    weights, plans = take_weights(model), steps_of(16)
    caches = cache_of(model, 16, WHOLE), cache_of(model, 16, HALF)
    whole = HuggingFaceModel(copy.deepcopy(model.module).float())
    truth = torch.cat(logits_of(lean_form(whole), cache_of(whole, 16), plans))
    errors = [(torch.cat(logits_of(native(weights, c), c, plans)) - truth).norm() for c in caches]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("name", SHAPES)
def test_in_half_the_bits_it_is_nearer_to_the_truth_than_the_operators(name: str) -> None:
    errors = torch.zeros(2)
    for seed in range(5):
        model = random_model(name, torch.bfloat16, seed)
        weights, plans = take_weights(model), steps_of(16)
        cache, other = cache_of(model, 16), cache_of(model, 16)
        ours = torch.cat(logits_of(native(weights, cache), cache, plans))
        theirs = torch.cat(logits_of(LeanModel(weights, model.shapes), other, plans))
        whole = HuggingFaceModel(model.module.float())
        exact = LeanModel(take_weights(whole), whole.shapes)
        truth = torch.cat(logits_of(exact, cache_of(whole, 16), plans))
        errors += torch.stack([(form - truth).norm() for form in (ours, theirs)])
    assert errors[0] < errors[1]


def every_position(tokens: int) -> list[Plan]:
    """A prompt whose every token becomes logits, with another beside it, and more behind it."""
    ids = torch.randint(0, 77, (2, 140), generator=torch.Generator().manual_seed(3)).tolist()
    params = SamplingParams(max_tokens=1, prompt_logprobs=0)
    first, second = list(range(1, 10)), list(range(10, 19))
    rows = [row(1, ids[0], 0, tokens, first), row(2, ids[1], 0, 5, second)]
    further = [row(1, ids[0], tokens, tokens + 1, first), row(2, ids[1], 5, 140, second)]
    plans = [Plan(0, tuple(rows)), Plan(1, tuple(further))]
    return [
        replace(plan, rows=tuple(replace(r, params=params) for r in plan.rows)) for plan in plans
    ]


@pytest.mark.parametrize("tokens", [11, 16, 27, 91, 97, 123])
@pytest.mark.parametrize("name", ["odd widths", "biases"])
def test_every_position_of_a_prompt_may_become_logits(name: str, tokens: int) -> None:
    model = random_model(name, torch.float32)
    weights, plans = take_weights(model), every_position(tokens)
    cache, other = cache_of(model, 16), cache_of(model, 16)
    ours = logits_of(native(weights, cache), cache, plans)
    theirs = logits_of(LeanModel(weights, model.shapes), other, plans)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 2e-5 * b.std()


@pytest.mark.parametrize("tokens", [11, 16, 27, 91, 97, 123])
@pytest.mark.parametrize("name", ["large groups", "biases", "turned in part"])
def test_the_widest_form_gives_what_the_next_one_gives(name: str, tokens: int) -> None:
    """Tiles round at other places than vectors, now and then. The floats beside bfloat weights are
    not rounded at all: from those, vectors of bfloats are as far as operators in bfloat16, or less.
    """
    model = random_model(name, torch.bfloat16)
    weights, plans = take_weights(model), every_position(tokens)
    caches = [cache_of(model, 16) for _ in range(3)]
    widest = native(weights, caches[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "_choose_kind", lambda *_: max(widest._kind - 1, BFLOAT_WEIGHTS))
        narrower = native(weights, caches[1])
    forms = (widest, narrower, LeanModel(weights, model.shapes))
    found = [logits_of(form, cache, plans) for form, cache in zip(forms, caches, strict=True)]
    for a, b, rounded in zip(*found, strict=True):
        far, furthest = 0.01 * b.norm(), 0.1 * b.std()
        if widest._kind == BFLOATS:
            far, furthest = (rounded - b).norm(), 1.2 * (rounded - b).abs().max()
        assert (a - b).norm() <= far
        assert (a - b).abs().max() <= furthest


@pytest.mark.parametrize("name", ["large groups", "small groups", "groups of three"])
def test_the_size_of_blocks_changes_no_bit(name: str) -> None:
    model = random_model(name, torch.bfloat16)
    weights, cache, other = take_weights(model), cache_of(model, 16), cache_of(model, 48)
    small = logits_of(native(weights, cache), cache, steps_of(16))
    large = logits_of(native(weights, other), other, steps_of(48))
    for a, b in zip(small, large, strict=True):
        assert torch.equal(a, b)


def test_scores_may_be_as_large_as_they_like() -> None:
    model = random_model("many heads", torch.float32)
    for layer in model.module.model.layers:
        layer.self_attn.q_proj.weight.data *= 64
        layer.self_attn.k_proj.weight.data *= 64
    weights, cache, other = take_weights(model), cache_of(model, 16), cache_of(model, 16)
    ours = torch.cat(logits_of(native(weights, cache), cache, steps_of(16)))
    theirs = torch.cat(logits_of(LeanModel(weights, model.shapes), other, steps_of(16)))
    assert (ours - theirs).norm() <= 1e-4 * theirs.norm()


def test_weights_that_are_bfloats_by_value_are_kept_as_such_and_change_no_bit() -> None:
    model = random_model("odd widths", torch.bfloat16)
    exact = HuggingFaceModel(model.module.float())
    weights = take_weights(exact)
    cache, plans = cache_of(exact, 16), steps_of(16)
    halved = native(weights, cache)
    assert halved._kind == decoder.BFLOAT_WEIGHTS
    ours = logits_of(halved, cache, plans)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "_choose_kind", lambda *_: decoder.FLOATS)
        whole = native(weights, cache)
    for a, b in zip(ours, logits_of(whole, cache, plans), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-6 * float(b.abs().max()))


def test_bfloats_meet_in_the_widest_form_that_the_processor_has_and_the_shape_fits() -> None:
    fitting, odd = (
        take_weights(random_model(n, torch.bfloat16)) for n in ("large groups", "odd widths")
    )
    forms = decoder.BFLOAT_WEIGHTS, decoder.BFLOATS, decoder.BFLOAT_TILES
    assert tuple(decoder._choose_kind(fitting, width) for width in range(3)) == forms
    assert decoder._choose_kind(odd, 2) == decoder.BFLOATS


def test_other_weights_are_kept_in_full() -> None:
    model = random_model("odd widths", torch.float32)
    assert native(take_weights(model), cache_of(model, 16))._kind == decoder.FLOATS


@pytest.mark.parametrize(("dtype", "cached"), DTYPES)
@pytest.mark.parametrize("name", ["large groups", "heads of their own", "groups of three"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_tokens_bits_do_not_depend_on_what_runs_beside_it(
    dtype: torch.dtype, cached: torch.dtype, name: str, threads: int
) -> None:
    model = random_model(name, dtype)
    weights = take_weights(model)
    cache = cache_of(model, 16, cached)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        one = native(weights, cache)
        together = logits_of(one, cache, steps_of(16))[-1][0]
        alone = [Plan(0, plan.rows[:1]) for plan in steps_of(16)]
        assert torch.equal(logits_of(one, cache, alone)[-1][0], together)
        whole = replace(alone[-1].rows[0], start=0, num_tokens=140)
        assert torch.equal(logits_of(one, cache, [Plan(0, (whole,))])[-1][0], together)
        ones = [replace(whole, start=p, num_tokens=1) for p in range(140)]
        assert torch.equal(logits_of(one, cache, [Plan(0, (r,)) for r in ones])[-1][0], together)
    finally:
        torch.set_num_threads(before)


def test_nor_do_sums_that_are_hardly_numbers() -> None:
    """Tiles take subnormal numbers for 0; so does what stands in for them where rows are few."""
    model = random_model("large groups", torch.bfloat16)
    with torch.no_grad():
        model.module.lm_head.weight.mul_(2.0**-125)
    cache = cache_of(model, 16)
    one = native(take_weights(model), cache)
    [first_step, *_] = steps_of(16)
    together = logits_of(one, cache, [first_step])[0][0]  # of three rows
    last = replace(first_step.rows[0], start=99, num_tokens=1)
    assert torch.equal(logits_of(one, cache, [Plan(0, (last,))])[0][0], together)
    smallest = together[together != 0].abs().min()
    assert smallest < 2.0**-120


def test_nor_does_attention_to_what_is_hardly_a_number() -> None:
    """Of a prompt's queries 16 are a tile; one alone is not, and adds the values by vectors."""
    model = random_model("heads of their own", torch.bfloat16)
    with torch.no_grad():
        for layer in model.module.model.layers:
            layer.self_attn.v_proj.weight.mul_(2.0**-124)
            layer.self_attn.o_proj.weight.mul_(2.0**121)
    cache = cache_of(model, 16)
    one = native(take_weights(model), cache)
    whole = every_position(91)[0].rows[0]
    together = logits_of(one, cache, [Plan(0, (whole,))])[0]
    assert 0 < cache.values[0].float().abs().max() < 2.0**-120
    for place in range(90):
        alone = replace(whole, start=place, num_tokens=1, samples=True, params=PARAMS)
        assert torch.equal(logits_of(one, cache, [Plan(0, (alone,))])[0][0], together[place])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have other names")
@pytest.mark.parametrize("processor", ["x86-64-v3", "x86-64-v4"])
def test_a_processor_with_other_vectors_computes_the_same_bits(
    processor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = Path("/proc/cpuinfo").read_text()
    if (processor == "x86-64-v4" and "avx512vl" not in flags) or "avx2" not in flags:
        pytest.skip("this processor does not have them")
    model = random_model("large groups", torch.float32)
    weights, plans = take_weights(model), steps_of(16)
    cache, other = cache_of(model, 16), cache_of(model, 16)
    own = logits_of(native(weights, cache), cache, plans)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    named = [f"-march={processor}" if f == "-march=native" else f for f in compiler.FLAGS]
    monkeypatch.setattr(compiler, "FLAGS", named)
    for a, b in zip(logits_of(native(weights, other), other, plans), own, strict=True):
        assert torch.equal(a, b)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have other names")
def test_the_width_of_vectors_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four floats against eight that do not fuse products either, as four never do here."""
    if "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has one width")
    models = [
        (make(name, dtype), cached)
        for make in (random_model, rounded_model)
        for name in ("large groups", "turned in part")
        for dtype, cached in DTYPES
    ]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    flags, found = compiler.FLAGS, []
    for processor in (["-march=x86-64-v2"], ["-march=x86-64-v3", "-mno-fma"]):
        monkeypatch.setattr(compiler, "FLAGS", [*flags, *processor, "-O1"])
        caches = [cache_of(model, 16, cached) for model, cached in models]
        decoders = [native(take_weights(m), c) for (m, _), c in zip(models, caches, strict=True)]
        pairs = zip(decoders, caches, strict=True)
        found.append(
            torch.cat([step for one, c in pairs for step in logits_of(one, c, steps_of(16))])
        )
    assert torch.equal(*found)


@pytest.mark.parametrize(("dtype", "cached"), DTYPES)
def test_what_was_in_a_block_before_does_not_matter(
    dtype: torch.dtype, cached: torch.dtype
) -> None:
    model = random_model("large groups", dtype)
    weights, cache = take_weights(model), cache_of(model, 16, cached)
    clean = logits_of(native(weights, cache), cache, steps_of(16))
    for tensor in (*cache.keys, *cache.values):
        tensor[1:] = torch.nan
    for a, b in zip(clean, logits_of(native(weights, cache), cache, steps_of(16)), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["odd widths", "large groups"])
def test_not_a_number_stays_in_its_own_row(name: str) -> None:
    model = random_model(name, torch.bfloat16)
    model.module.model.embed_tokens.weight.data[5] = torch.nan
    weights, cache = take_weights(model), cache_of(model, 16)
    plan = Plan(0, (row(1, [5, 6], 0, 2, [1]), row(2, [6, 7], 0, 2, [2])))
    (logits,) = logits_of(native(weights, cache), cache, [plan])
    assert logits[0].isnan().all()
    assert logits[1].isfinite().all()


def test_a_step_may_want_no_logits() -> None:
    model = random_model("odd widths", torch.float32)
    weights, cache = take_weights(model), cache_of(model, 16)
    plan = Plan(0, (replace(row(1, [5, 6, 7], 0, 2, [1]), samples=False),))
    assert logits_of(native(weights, cache), cache, [plan])[0].shape == (0, 77)


@pytest.mark.parametrize("rows", range(1, 14))
def test_panels_hold_the_weights_in_order(rows: int) -> None:
    weight = torch.arange(rows * 5, dtype=torch.float32).view(rows, 5)
    panels = in_panels(weight, decoder.FLOATS)  # (panels, 16, 32)
    assert torch.equal(panels[0, :5, :rows].T, weight)
    assert not panels[0, 5:].any()
    assert not panels[0, :, rows:].any()
    pairs = in_panels(weight, decoder.BFLOATS)  # (panels, 8, 32, 2)
    assert torch.equal(pairs[0].transpose(1, 2).flatten(0, 1)[:5, :rows].T.float(), weight)


def test_blocks_or_heads_that_do_not_fill_vectors_are_left_to_the_operators() -> None:
    model = random_model("odd widths", torch.float32)
    assert native_decoder(take_weights(model), cache_of(model, 8)) is None
    half = random_model("odd widths", torch.float16)
    assert native_decoder(take_weights(half), cache_of(half, 16)) is None


def test_its_constants_are_the_sources() -> None:
    source = "".join(file.read_text() for file in FOLDER.glob("*.[ch]"))
    defined = dict(re.findall(r"#define (\w+) (\d+)", source))
    assert int(defined["PADDING"]) == decoder.PADDING
    assert int(defined["PANEL"]) == decoder.PANEL
    assert int(defined["MOST_PANELS"]) == decoder.MOST_PANELS  # for which there is room
    assert int(defined["MOST_DIM"]) == decoder.LARGEST_HEAD
    assert int(defined["MOST_QUERIES"]) <= decoder.TILE_ROWS  # for which there is room
    assert int(defined["TILE_ROWS"]) == decoder.TILE_ROWS
    assert int(defined["TILE_INPUTS"]) == decoder.TILE_INPUTS
