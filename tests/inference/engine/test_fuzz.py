"""Whatever others ask for, a seeded text beside them stays what it is, byte for byte.

`make soak` runs ten thousand requests; `make test` a short form of the same.
"""

import os
import random
from functools import partial
from typing import Any

import pytest
import torch

from inference.engine.family import take_weights
from inference.engine.model import HuggingFaceModel
from inference.engine.native.decoder import native_decoder
from tests.inference.engine.rig import Bench, Outcome
from tests.inference.engine.tiny import VOCAB_SIZE, make_bench, random_module

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "250"))
POISON = 251  # its embedding is not a number
VICTIM: dict[str, Any] = {
    "tokens": [3, 1, 4, 1, 5, 9, 2, 6], "max_tokens": 60, "temperature": 0.9, "top_p": 0.95,
    "seed": 42, "ignore_eos": True, "logprobs": 1, "tenant": "victim",
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> HuggingFaceModel:
    module = random_module("llama", seed=8)
    with torch.no_grad():
        module.model.embed_tokens.weight[POISON] = torch.nan
    return HuggingFaceModel(module)


@pytest.fixture
def bench(model: HuggingFaceModel) -> Bench:
    return make_bench(
        model, num_blocks=48, block_size=16, form=partial(native_decoder, take_weights(model)),
        max_drafts=8, max_running=24, token_budget=48, max_waiting=64, max_model_len=200,
    )  # fmt: skip


def heard(outcome: Outcome) -> tuple[Any, ...]:
    """What the victim's client sees. Log-probabilities may differ in their last bits."""
    return outcome.token_ids, outcome.text, outcome.finish


def any_request(draw: random.Random) -> dict[str, Any]:
    """Valid and invalid ones, as they come over the wire."""
    length = draw.choice([0, 1, 2, 7, 8, 9, 30, 100, 199, 200, 400])
    alphabet = draw.choice([range(250), range(3), [POISON, 1], [VOCAB_SIZE - 1, 2, 99_999]])
    shared = [7] * draw.choice([0, 8, 16, 40])
    return {
        "tokens": shared[:length] + [draw.choice(alphabet) for _ in range(length - len(shared))],
        "max_tokens": draw.choice([0, 1, 2, 10, 80, 100_000]),
        "temperature": draw.choice([0.0, 0.7, 2.0]),
        "top_p": draw.choice([1.0, 0.9, 0.01, 0.0]),
        "top_k": draw.choice([0, 1, 5, 10**6]),
        "min_p": draw.choice([0.0, 0.1, 1.0]),
        "repetition_penalty": draw.choice([1.0, 1.0, 0.1, 10.0]),
        "presence_penalty": draw.choice([0.0, 0.0, -2.0, 2.0]),
        "frequency_penalty": draw.choice([0.0, 0.0, 2.0]),
        "stop": draw.choice([(), (), ("e",), ("\n", "the"), ("x" * 200,)]),
        "stop_token_ids": draw.choice([(), (), (5,), (10**9,)]),
        "ignore_eos": draw.random() < 0.5,
        "logprobs": draw.choice([None, None, 0, 20]),
        "prompt_logprobs": draw.choice([None, None, None, 5]),
        "logit_bias": draw.choice([(), (), ((1, 100.0), (2, -100.0)), ((10**7, 1.0),)]),
        "tenant": draw.choice(["a", "a", "a", "b", "c"]),
        "priority": draw.choice([0, 0, 1]),
        "handle": draw.choice(["left", "right"]),
    }


def test_a_seeded_text_does_not_change_beside_any_requests(bench: Bench) -> None:
    alone = bench.submit(**VICTIM)
    bench.run()
    draw = random.Random(REQUESTS)
    others: list[Outcome] = []
    victims: list[Outcome] = []
    while len(others) < REQUESTS:
        # A full queue refuses victims like everybody else; they come again.
        victims = [victim for victim in victims if victim.finish != "FINISH_OVERLOADED"]
        if len(victims) < 2 + len(others) // 50:
            victims.append(bench.submit(**VICTIM))
        newcomers = draw.choice([0, 1, 1, 2, 12])
        others += [bench.submit(**any_request(draw)) for _ in range(newcomers)]
        if draw.random() < 0.1:
            bench.loop.cancel(draw.choice(["left", "right"]), draw.choice(list(bench.outcomes)))
        bench.step()
    bench.run(limit=bench.num_steps + 50_000)
    assert all(outcome.finish for outcome in others)
    kinds = {outcome.finish for outcome in others}
    assert {"FINISH_STOP", "FINISH_LENGTH", "FINISH_ERROR"} <= kinds
    assert len(victims) > REQUESTS // 100
    for victim in victims:
        assert victim.finish == "FINISH_OVERLOADED" or heard(victim) == heard(alone)
    assert bench.scheduler.pool.num_used == 0
    assert not bench.loop._live
    assert not bench.loop._streams
