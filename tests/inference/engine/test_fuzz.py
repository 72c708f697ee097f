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
from inference.engine.params import Grammar
from tests.inference.engine.grammars import PERSON, schema
from tests.inference.engine.rig import Bench, Outcome
from tests.inference.engine.tiny import VOCAB_SIZE, make_bench, random_module

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "250"))
HANDLES = ("left", "right", "victim")
WILD_BIAS = ((3, float("inf")), (4, float("nan")))
POISON = 251  # its embedding is not a number
GRAMMARS = [
    schema(PERSON),
    schema(
        {"$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}
    ),
    Grammar("regex", "((a{1,100}){1,100}){1,100}"),  # soon too complex
    Grammar("regex", r"[\p{L} ]{1,40}[0-9]*"),
    Grammar("choices", '["", "yes", "no"]'),
]
VICTIMS: list[dict[str, Any]] = [
    {
        "tokens": [3, 1, 4, 1, 5, 9, 2, 6] * 4, "max_tokens": 60, "temperature": 0.9,
        "top_p": 0.95, "ignore_eos": True, "logprobs": 1, "prompt_logprobs": 2,
    },
    {"tokens": [9, 8, 7] * 10, "max_tokens": 60, "temperature": 2.0, "grammar": GRAMMARS[0]},
    {
        "tokens": [7] * 50, "max_tokens": 40, "temperature": 0.5, "min_tokens": 30,
        "frequency_penalty": 0.1, "logprobs": 0, "stop": ("e", "zz"),
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def model() -> HuggingFaceModel:
    module = random_module("llama", seed=8)
    with torch.no_grad():
        module.model.embed_tokens.weight[POISON] = torch.nan
    return HuggingFaceModel(module)


def start(model: HuggingFaceModel) -> Bench:
    return make_bench(
        model, num_blocks=48, block_size=16, form=partial(native_decoder, take_weights(model)),
        max_drafts=8, max_running=24, token_budget=48, max_waiting=64, max_model_len=200,
    )  # fmt: skip


def heard(outcome: Outcome) -> tuple[Any, ...]:
    """What a victim's client sees, to the last bit."""
    scores = [
        entry.SerializeToString()
        for delta in outcome.deltas
        for entry in (*delta.prompt_logprobs, *delta.logprobs)
    ]
    return outcome.token_ids, outcome.text, outcome.finish, outcome.stop_reason, scores


def submit_victim(bench: Bench, number: int) -> tuple[int, Outcome]:
    return number, bench.submit(**VICTIMS[number], seed=42 + number, tenant="a", handle="victim")


def any_request(draw: random.Random) -> dict[str, Any]:
    """Valid and invalid ones, as they come over the wire."""
    length = draw.choice([0, 1, 2, 7, 8, 9, 30, 100, 199, 200, 400])
    alphabet = draw.choice([range(250), range(3), [POISON, 1], [VOCAB_SIZE - 1, 2, 99_999]])
    shared = [7] * draw.choice([0, 8, 16, 40])
    max_tokens = draw.choice([0, 1, 2, 10, 80, 100_000])
    return {
        "tokens": shared[:length] + [draw.choice(alphabet) for _ in range(length - len(shared))],
        "max_tokens": max_tokens,
        "min_tokens": min(max_tokens, draw.choice([0, 0, 0, 5, 300])),
        "temperature": draw.choice([0.0, 1e-9, 0.7, 2.0]),
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
        "logit_bias": draw.choice([(), (), ((1, 100.0), (2, -100.0)), ((10**7, 1.0),), WILD_BIAS]),
        "grammar": draw.choice([None, None, None, *GRAMMARS]),
        "tenant": draw.choice(["a", "a", "a", "b", "c"]),
        "priority": draw.choice([0, 0, 1, -1]),
        "deadline_s": draw.choice([0.0, 0.0, 0.0, 1e-9, 0.05]),
        "handle": draw.choice(["left", "right"]),
    }


def test_a_seeded_text_does_not_change_beside_any_requests(model: HuggingFaceModel) -> None:
    alone = []
    for number in range(len(VICTIMS)):
        bench = start(model)
        _, outcome = submit_victim(bench, number)
        bench.run()
        alone.append(heard(outcome))
    bench = start(model)
    draw = random.Random(REQUESTS)
    others: list[Outcome] = []
    victims: list[tuple[int, Outcome]] = []
    while len(others) < REQUESTS:
        # A full queue refuses victims like everybody else; they come again.
        victims = [each for each in victims if each[1].finish != "FINISH_OVERLOADED"]
        if len(victims) < 3 + len(others) // 30:
            victims.append(submit_victim(bench, draw.randrange(len(VICTIMS))))
        newcomers = draw.choice([0, 1, 1, 2, 12]) if bench.scheduler.num_waiting < 40 else 0
        others += [bench.submit(**any_request(draw)) for _ in range(newcomers)]
        interfere(bench, draw)
        bench.step()
    for handle in HANDLES:
        bench.loop.hold(handle, held=False)
    bench.run(limit=bench.num_steps + 50_000)
    assert all(outcome.finish for outcome in others)
    kinds = {outcome.finish for outcome in others}
    assert {"FINISH_STOP", "FINISH_LENGTH", "FINISH_ERROR", "FINISH_DEADLINE"} <= kinds
    assert {number for number, _ in victims} == set(range(len(VICTIMS)))
    for number, victim in victims:
        assert victim.finish == "FINISH_OVERLOADED" or heard(victim) == alone[number]
    assert bench.scheduler.num_preemptions > 0
    assert bench.scheduler.pool.num_used == 0
    assert not bench.loop._live
    assert not bench.loop._streams


def interfere(bench: Bench, draw: random.Random) -> None:
    """Cancel one, or let a stream pause or go on."""
    chance = draw.random()
    if chance < 0.1:
        bench.loop.cancel(draw.choice(["left", "right"]), draw.choice(list(bench.outcomes)))
    elif chance < 0.2:
        bench.loop.hold(draw.choice(HANDLES), held=draw.random() < 0.3)
