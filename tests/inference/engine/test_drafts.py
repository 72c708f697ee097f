"""Guessing changes how many steps a text takes, and nothing else."""

from typing import Any

import pytest
import torch

from inference.engine.drafts import FIRST_REST, LONGEST_REST, MOST, Drafter
from inference.engine.model import HuggingFaceModel
from tests.inference.engine.rig import Bench
from tests.inference.engine.tiny import make_bench, random_module


def test_it_guesses_what_followed_the_last_time() -> None:
    drafter = Drafter([1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4])
    assert drafter.guess(4) == (5, 6, 7, 8)
    assert drafter.guess(20) == (5, 6, 7, 8, 9, 1, 2)[:MOST]


def test_it_prefers_the_latest_time() -> None:
    assert Drafter([0, 1, 2, 3, 4, 0, 1, 2, 3, 5, 0, 1, 2, 3]).guess(1) == (5,)


def test_a_short_period_goes_on() -> None:
    assert Drafter([9, 1, 2, 1, 2, 1, 2]).guess(5) == (1, 2, 1, 2, 1)


@pytest.mark.parametrize("tokens", [[], [1], [1, 2, 3], [1, 2, 3, 4, 5, 6]])
def test_it_guesses_nothing_where_nothing_repeats(tokens: list[int]) -> None:
    assert Drafter(tokens).guess(4) == ()


def test_it_finds_what_was_added_since() -> None:
    tokens = [1, 2, 3, 4]
    drafter = Drafter(tokens)
    assert drafter.guess(2) == ()
    tokens += [5, 1, 2, 3, 4]
    assert drafter.guess(2) == (5, 1)


def test_it_reads_no_text_twice() -> None:
    class Noted(list[int]):
        num_reads = 0

        def __getitem__(self, place: Any) -> Any:
            self.num_reads += 1
            return super().__getitem__(place)

    tokens = Noted(range(1000))
    drafter = Drafter(tokens)
    drafter.guess(4)
    before = tokens.num_reads
    tokens.append(0)
    drafter.guess(4)
    assert tokens.num_reads - before <= 3


class Repeating:
    """A text that says the same over and over, and a model that does not."""

    def __init__(self) -> None:
        self.tokens = [1, 2, 3] * 4
        self.drafter = Drafter(self.tokens)

    def steps_until_rest(self, num_right: int = 0) -> int:
        for step in range(100):
            if not self.drafter.guess(4):
                return step
            self.drafter.learn(4, num_right)
        return 100

    def rest(self) -> int:
        length = 0
        while not self.drafter.guess(4):
            self.tokens.append(self.tokens[-3])
            length += 1
        return length


def test_it_rests_after_wrong_guesses_and_longer_each_time() -> None:
    text = Repeating()
    assert text.steps_until_rest() <= 5
    first = text.rest()
    assert first == FIRST_REST
    for times in (2, 4, 8):
        assert text.steps_until_rest() == 1
        assert text.rest() == times * first
    for _ in range(9):
        text.steps_until_rest()
        longest = text.rest()
    assert longest == LONGEST_REST


def test_it_goes_on_where_about_half_is_right() -> None:
    assert Repeating().steps_until_rest(num_right=4) == 100
    assert Repeating().steps_until_rest(num_right=2) == 100
    assert Repeating().steps_until_rest(num_right=1) < 15


def test_what_is_right_after_a_rest_makes_the_next_one_short_again() -> None:
    text = Repeating()
    for _ in range(4):
        text.steps_until_rest()
        text.rest()
    text.drafter.learn(4, 2)  # which is too little for that
    assert text.steps_until_rest() == 1
    assert text.rest() > FIRST_REST
    text.drafter.learn(4, 4)
    assert 1 < text.steps_until_rest() < 100
    assert text.rest() == FIRST_REST


@pytest.fixture(scope="module", params=["any", "looping"])
def model(request: pytest.FixtureRequest) -> HuggingFaceModel:
    module = random_module("llama", seed=5)
    if request.param == "looping":  # sees one token only, so it must come round again
        for layer in module.model.layers:
            torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
    return HuggingFaceModel(module)


PROMPTS = [[7, 8, 9] * 6, [5, 4, 3, 2, 1] * 4, list(range(30)), [1], [11, 12] * 9]


def generate(
    model: HuggingFaceModel, drafts: int, sizes: dict[str, int] | None = None, **params: Any
) -> tuple[list[Any], Bench]:
    bench = make_bench(model, max_drafts=drafts, **(sizes or {}))
    outcomes = [bench.submit(prompt, **params) for prompt in PROMPTS]
    bench.run()
    return [(o.token_ids, o.text, o.finish, o.stop_reason) for o in outcomes], bench


@pytest.mark.parametrize(
    "params",
    [
        {"ignore_eos": True},
        {"temperature": 0.9, "top_p": 0.9, "seed": 11, "ignore_eos": True},
        {"stop": ("wrote", "e "), "ignore_eos": True},
        {"frequency_penalty": 0.05, "ignore_eos": True},  # repeats itself for a while only
        {"min_tokens": 20},
        {},
    ],
    ids=lambda params: ",".join(params) or "plain",
)
@pytest.mark.parametrize("sizes", [{}, {"num_blocks": 40, "max_model_len": 128}], ids=["", "tight"])
def test_the_tokens_are_those_without_guesses(
    model: HuggingFaceModel, params: dict[str, Any], sizes: dict[str, int]
) -> None:
    for max_tokens in (1, 2, 60):
        asked = {"max_tokens": max_tokens, **params}
        asked["min_tokens"] = min(asked.get("min_tokens", 0), max_tokens)
        plain, _ = generate(model, 0, sizes, **asked)
        guessed, _ = generate(model, 16, sizes, **asked)
        assert guessed == plain


@pytest.mark.parametrize("asked", [{"ignore_eos": True}, {"min_tokens": 150}], ids=",".join)
def test_it_takes_fewer_steps_where_text_repeats(
    model: HuggingFaceModel, asked: dict[str, Any]
) -> None:
    _, plain = generate(model, 0, max_tokens=150, **asked)
    _, guessed = generate(model, 40, max_tokens=150, **asked)
    assert guessed.num_steps <= plain.num_steps
    if not any(layer.self_attn.o_proj.weight.any() for layer in model.module.model.layers):
        assert guessed.num_steps < 0.6 * plain.num_steps


def test_log_probabilities_are_those_of_the_tokens(model: HuggingFaceModel) -> None:
    def logprobs(drafts: int) -> list[float]:
        bench = make_bench(model, max_drafts=drafts)
        outcome = bench.submit([7, 8, 9] * 6, max_tokens=60, ignore_eos=True, logprobs=2)
        bench.run()
        return [entry.logprob for delta in outcome.deltas for entry in delta.logprobs]

    assert logprobs(16) == pytest.approx(logprobs(0), abs=1e-4)


def test_the_last_token_of_a_scored_prompt_takes_no_guesses(model: HuggingFaceModel) -> None:
    def said(drafts: int) -> list[int]:
        bench = make_bench(model, max_drafts=drafts, max_running=1, token_budget=17)
        outcome = bench.submit([7, 8, 9] * 6, max_tokens=9, prompt_logprobs=1, ignore_eos=True)
        bench.run()
        return outcome.token_ids

    assert said(16) == said(0)


def test_guesses_never_preempt_anybody(model: HuggingFaceModel) -> None:
    sizes = {"num_blocks": 40, "max_model_len": 128}
    _, plain = generate(model, 0, sizes, max_tokens=60, ignore_eos=True)
    _, guessed = generate(model, 16, sizes, max_tokens=60, ignore_eos=True)
    assert guessed.scheduler.num_preemptions <= plain.scheduler.num_preemptions


def test_a_prompt_goes_on_however_much_is_guessed_beside_it(model: HuggingFaceModel) -> None:
    bench = make_bench(model, max_drafts=32, token_budget=8, max_running=8)
    texts = [bench.submit(PROMPTS[0], max_tokens=200, ignore_eos=True) for _ in range(4)]
    while not all(len(text.token_ids) > 100 for text in texts):
        bench.step()
    newcomer = bench.submit(PROMPTS[2], max_tokens=1)
    for _ in range(20):
        bench.step()
    assert newcomer.finish


def test_a_step_never_exceeds_its_budget(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(model, max_drafts=16, token_budget=12, max_running=8)
    schedule, sizes = bench.scheduler.schedule, []

    def noted() -> Any:
        plan = schedule()
        sizes.append(plan.num_tokens)
        return plan

    monkeypatch.setattr(bench.scheduler, "schedule", noted)
    for prompt in PROMPTS:
        bench.submit(prompt, max_tokens=40, ignore_eos=True)
    bench.run()
    assert max(sizes) <= 12
