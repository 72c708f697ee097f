"""A real model whose steps are started ahead says what it says without."""

from typing import Any

import pytest
import torch

from inference.engine import sampler
from inference.engine.model import HuggingFaceModel
from inference.engine.runner import LaunchingRunner, ModelRunner
from tests.inference.engine.grammars import PERSON, schema
from tests.inference.engine.tiny import make_bench, random_module


@pytest.fixture(scope="module")
def model() -> HuggingFaceModel:
    return HuggingFaceModel(random_module("llama", seed=5))


PROMPTS = [[7, 8, 9] * 6, [5, 4, 3, 2, 1] * 4, list(range(30)), [1], [11, 12] * 9]


def generate(
    model: HuggingFaceModel, runs: type[ModelRunner], sizes: dict[str, int], **params: Any
) -> tuple[list[Any], list[float]]:
    """What was said, and the log-probabilities of it all."""
    bench = make_bench(model, runs=runs, **sizes)
    outcomes = []
    for prompt in PROMPTS:
        outcomes.append(bench.submit(prompt, max_tokens=40, **params))
        bench.step()
    bench.run()
    said = [(o.token_ids, o.text, o.finish, o.stop_reason) for o in outcomes]
    entries = [
        entry
        for outcome in outcomes
        for delta in outcome.deltas
        for entry in (*delta.prompt_logprobs, *delta.logprobs)
    ]
    return said, [entry.logprob for entry in entries]


@pytest.mark.parametrize(
    "params",
    [
        {"ignore_eos": True},
        {"temperature": 0.9, "top_p": 0.9, "seed": 11},
        {"temperature": 1.0, "seed": 3, "logprobs": 2, "prompt_logprobs": 1},
        {"stop": ("wrote", "e "), "ignore_eos": True},
        {"temperature": 0.7, "seed": 4, "repetition_penalty": 1.2},
        {"temperature": 1.0, "seed": 4, "min_tokens": 20},
        {"temperature": 1.0, "seed": 4, "grammar": schema(PERSON)},
    ],
    ids=lambda params: ",".join(params),
)
@pytest.mark.parametrize(
    "sizes",
    [{}, {"max_drafts": 16}, {"num_blocks": 40, "max_model_len": 128}],
    ids=["roomy", "guessing", "tight"],
)
def test_it_says_the_same(
    model: HuggingFaceModel, sizes: dict[str, int], params: dict[str, Any]
) -> None:
    said, logprobs = generate(model, ModelRunner, sizes, **params)
    ours, our_logprobs = generate(model, LaunchingRunner, sizes, **params)
    assert ours == said
    # Other rows beside it, other last bits.
    assert our_logprobs == pytest.approx(logprobs, abs=1e-4, nan_ok=True)


def test_a_filter_that_saw_too_little_is_put_right_before_its_token_is_used(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"temperature": 2.0, "top_p": 0.97, "seed": 7, "ignore_eos": True}
    expected = generate(model, ModelRunner, {}, **params)
    monkeypatch.setattr(sampler, "LIKELIEST", 4)
    redrawn = []
    redraw = sampler.Drawn._redraw

    def noted(self: sampler.Drawn, *args: Any) -> None:
        redrawn.append(self)
        redraw(self, *args)

    monkeypatch.setattr(sampler.Drawn, "_redraw", noted)
    assert generate(model, LaunchingRunner, {}, **params) == expected
    assert len(redrawn) > 10


def test_a_row_without_numbers_fails_alone() -> None:
    module = random_module("llama", seed=3)
    with torch.no_grad():
        module.model.embed_tokens.weight[200] = torch.nan
    bench = make_bench(HuggingFaceModel(module), runs=LaunchingRunner)
    good = [bench.submit([n, 7], max_tokens=20, ignore_eos=True) for n in range(3)]
    bad = bench.submit([5, 200], max_tokens=20)
    bench.run()
    assert bad.finish == "FINISH_ERROR"
    assert all(len(outcome.token_ids) == 20 for outcome in good)
