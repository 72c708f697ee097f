"""A real model: bad requests fail alone, scores are the model's, equal seeds give equal text."""

import math
from typing import Any

import pytest
import torch

from inference.engine.model import HuggingFaceModel
from inference.engine.plan import DeviceLostError
from tests.inference.engine.tiny import make_bench, random_module

POISON = 200


@pytest.fixture(scope="module")
def model() -> HuggingFaceModel:
    module = random_module("llama", seed=3)
    with torch.no_grad():
        module.model.embed_tokens.weight[POISON] = torch.nan
    return HuggingFaceModel(module)


def test_a_request_whose_logits_are_nan_fails_alone_and_leaves_no_trace(
    model: HuggingFaceModel,
) -> None:
    def texts(poison: int, **sizes: int) -> list[list[int]]:
        bench = make_bench(model, **sizes)
        good = [bench.submit([n, n + 1, 7], max_tokens=20, ignore_eos=True) for n in range(4)]
        bad = bench.submit([5] * 20 + [poison] * 9, max_tokens=20, ignore_eos=True)
        bench.run()
        again = bench.submit([5] * 20 + [6], max_tokens=5, ignore_eos=True)
        bench.run()
        assert (bad.finish == "FINISH_ERROR") == (poison == POISON)
        assert "no valid probabilities" in bad.error or poison != POISON
        return [outcome.token_ids for outcome in [*good, again]]

    # The small pool makes the blocks of the failed request another's next blocks.
    for sizes in ({}, {"num_blocks": 16, "max_model_len": 100}):
        assert texts(POISON, **sizes) == texts(6, **sizes)


@pytest.mark.parametrize("budget", [64, 7])
def test_a_prompt_that_is_only_scored_fails_when_its_scores_are_no_numbers(
    model: HuggingFaceModel, budget: int
) -> None:
    bench = make_bench(model, token_budget=budget, max_running=4)
    good, bad = (
        bench.submit([5] * 10 + [token] * 10, max_tokens=0, prompt_logprobs=1)
        for token in (6, POISON)
    )
    bench.run()
    assert (good.finish, bad.finish) == ("FINISH_LENGTH", "FINISH_ERROR")
    assert "no valid probabilities" in bad.error
    assert len(bench.scheduler.pool._by_hash) == 2, "a block without numbers can be found"


def test_a_crash_in_a_step_fails_the_guilty_request_only(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(model)
    logits = model.logits

    def crash(batch: Any, cache: Any) -> Any:
        if 99 in batch.input_ids:
            raise torch.OutOfMemoryError("too much")
        return logits(batch, cache)

    monkeypatch.setattr(model, "logits", crash)
    outcomes = [bench.submit([99 if n == 1 else n], max_tokens=5) for n in range(5)]
    bench.run()
    assert [outcome.finish == "FINISH_ERROR" for outcome in outcomes].index(True) == 1
    assert sum(outcome.finish == "FINISH_ERROR" for outcome in outcomes) == 1


def test_a_lost_device_ends_the_loop(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(model)

    def lost(batch: Any, cache: Any) -> Any:
        raise torch.AcceleratorError("device-side assert")

    monkeypatch.setattr(model, "logits", lost)
    bench.submit([1], max_tokens=5)
    with pytest.raises(DeviceLostError):
        bench.run()


@pytest.mark.parametrize("budget", [64, 5])
def test_it_scores_prompts_as_the_model_does(model: HuggingFaceModel, budget: int) -> None:
    prompt = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26]
    bench = make_bench(model, token_budget=budget, max_running=4)
    bench.submit(prompt, max_tokens=3)
    bench.run()  # now the prompt is cached, and must not be taken from the cache
    outcome = bench.submit(prompt, max_tokens=1, prompt_logprobs=2, logprobs=1)
    bench.run()
    module = model.module
    module.set_attn_implementation("eager")
    with torch.inference_mode():
        expected = module(torch.tensor([prompt])).logits[0].log_softmax(-1)
    module.set_attn_implementation("parlance_paged")
    entries = [e for delta in outcome.deltas for e in delta.prompt_logprobs]
    assert [e.token_id for e in entries] == prompt
    assert math.isnan(entries[0].logprob)
    for position, entry in enumerate(entries[1:]):
        assert entry.logprob == pytest.approx(expected[position, entry.token_id].item(), abs=1e-4)
        best = expected[position].topk(2)
        assert [top.token_id for top in entry.top] == best.indices.tolist()
    (sampled,) = outcome.deltas[0].logprobs
    assert sampled.logprob == sampled.top[0].logprob
    assert sampled.logprob == pytest.approx(expected[-1].max().item(), abs=1e-4)


def test_a_seed_gives_the_same_text_beside_other_requests(model: HuggingFaceModel) -> None:
    def text(num_others: int) -> list[int]:
        bench = make_bench(model)
        outcome = bench.submit([1, 2, 3], max_tokens=30, temperature=1.0, seed=42, ignore_eos=True)
        for n in range(num_others):
            bench.submit([n] * (n + 1), max_tokens=30, temperature=1.0, ignore_eos=True)
        bench.run()
        return outcome.token_ids

    assert text(0) == text(3) == text(9)


def test_requests_without_a_seed_differ(model: HuggingFaceModel) -> None:
    bench = make_bench(model)
    outcomes = [
        bench.submit([1, 2, 3], max_tokens=30, temperature=2.0, ignore_eos=True) for _ in range(3)
    ]
    bench.run()
    assert len({tuple(outcome.token_ids) for outcome in outcomes}) == 3


def test_min_tokens_holds_off_the_end(model: HuggingFaceModel) -> None:
    bench = make_bench(model)
    bias = ((256, 50.0),)
    short = bench.submit([1], max_tokens=20, logit_bias=bias)
    late = bench.submit([1], max_tokens=20, min_tokens=7, logit_bias=bias)
    bench.run()
    assert (len(short.token_ids), len(late.token_ids)) == (1, 8)


def test_nothing_is_kept_of_sequences_that_ended(model: HuggingFaceModel) -> None:
    bench = make_bench(model)
    for _ in range(3):
        bench.submit([1], max_tokens=4, frequency_penalty=0.5)
    bench.run()
    bench.submit([1], max_tokens=1)
    bench.run()
    assert bench.loop.runner._sampler._counts._by_key == {}  # type: ignore[attr-defined]
