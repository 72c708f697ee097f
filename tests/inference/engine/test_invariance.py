"""A seed gives the same text, and the same logits to the last bit, in any company.

The reference is the request alone in a fresh engine. Beside it run others of all kinds, prefixes
are found in the cache, prompts are cut by tight budgets, sequences are preempted, drafts are tried.
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from inference.engine import company
from inference.engine.batch import Batch
from inference.engine.company import arithmetic, depends_on_company
from inference.engine.family import take_weights
from inference.engine.kv_cache import KVCache
from inference.engine.model import HuggingFaceModel, load_model
from inference.engine.native.decoder import NativeDecoder, native_decoder
from inference.engine.params import SamplingParams
from inference.engine.plan import Row, Sampled
from inference.engine.sampler import LIKELIEST, Sampler
from tests.inference.engine.rig import Bench, Outcome
from tests.inference.engine.tiny import lean_form, make_bench, random_module

CPU = torch.device("cpu")
STARTER = Path(__file__).parents[3] / "inference" / "starter"
DTYPES = {  # of a model and its cache
    "": (torch.float32, torch.float32),
    "in bfloat16": (torch.bfloat16, torch.bfloat16),
    "its cache in bfloat16": (torch.float32, torch.bfloat16),
}
SEED = 42
PROMPT = [(n * n + 3 * n) % 250 for n in range(75)]
ASKED: dict[str, Any] = {
    "max_tokens": 30, "temperature": 1.0, "seed": SEED, "ignore_eos": True, "logprobs": 5,
    "tenant": "alice",
}  # fmt: skip


class Recorder:
    """A model that notes the logits from which the seeded request's tokens are drawn."""

    def __init__(self, model: NativeDecoder) -> None:
        self._model = model
        self.vocab_size = model.vocab_size
        self.seen: dict[tuple[int, ...], Tensor] = {}  # by all the tokens before
        self.num_chunks_of_text = 0  # sampled tokens that were computed again, with others

    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        logits = self._model.logits(batch, cache)
        for row, place in zip(batch.sampling, batch.sampling_index, strict=True):
            if row.params.seed == SEED:
                self.seen[tuple(row.tokens[: row.length])] = logits[place].clone()
                several = row.num_tokens - len(row.drafts) > 1
                self.num_chunks_of_text += several and row.length > row.num_prompt_tokens
        return logits


@dataclass(frozen=True)
class Subject:
    """What serves, and the dtype of its cache."""

    model: HuggingFaceModel
    cached: torch.dtype

    def cache(self) -> KVCache:
        return self.model.new_cache(4, 16, self.cached)

    def native(self, cache: KVCache) -> NativeDecoder:
        made = native_decoder(take_weights(self.model), cache)
        assert made is not None
        return made


class Trial:
    """An engine, and what the seeded request heard from it."""

    def __init__(self, subject: Subject, **sizes: int) -> None:
        self._subject = subject
        limits = {"num_blocks": 900, "max_running": 64, "token_budget": 512, **sizes}
        self.bench: Bench = make_bench(
            subject.model, block_size=16, form=self._record, cache_dtype=subject.cached, **limits
        )

    def _record(self, cache: KVCache) -> Recorder:
        self.recorder = Recorder(self._subject.native(cache))
        return self.recorder

    def ask(self, tokens: list[int], **params: Any) -> Outcome:
        self._tokens = list(tokens)
        self.outcome = self.bench.submit(tokens, **{**ASKED, **params})
        return self.outcome

    def logprobs(self) -> list[bytes]:
        """As they go over the wire, one for each token."""
        return [e.SerializeToString() for delta in self.outcome.deltas for e in delta.logprobs]

    def logits(self) -> Tensor:
        """(tokens, V), from which each token was drawn."""
        first, text = len(self._tokens), [*self._tokens, *self.outcome.token_ids]
        return torch.stack([self.recorder.seen[tuple(text[:n])] for n in range(first, len(text))])


@pytest.fixture(
    scope="module",
    params=["starter", "llama", "qwen3", "llama in bfloat16", "llama, its cache in bfloat16"],
)
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "starter":
        return Subject(load_model(str(STARTER), CPU, torch.float32), torch.float32)
    name, _, half = request.param.replace(",", "").partition(" ")
    model = HuggingFaceModel(random_module(name, seed=3).to(DTYPES[half][0]))
    return Subject(model, DTYPES[half][1])


def alone(subject: Subject, tokens: list[int], **params: Any) -> Trial:
    trial = Trial(subject)
    trial.ask(tokens, **params)
    trial.bench.run()
    assert trial.outcome.cached_tokens == 0
    return trial


def same(trial: Trial, reference: Trial) -> None:
    assert trial.outcome.token_ids == reference.outcome.token_ids
    assert torch.equal(trial.logits(), reference.logits())
    assert trial.logprobs() == reference.logprobs()
    assert trial.outcome.text == reference.outcome.text


def add_others(bench: Bench, count: int, draw: random.Random) -> None:
    """Submit requests of all kinds; some share the beginning of the prompt."""
    for number in range(count):
        tokens = [draw.randrange(250) for _ in range(draw.randint(1, 150))]
        kept = draw.choice([0, 0, 16, 40, 75])
        bench.submit(
            (PROMPT[:kept] + tokens)[:150],
            tenant=draw.choice(["alice", "bob"]),
            max_tokens=draw.randint(1, 40),
            temperature=draw.choice([0.0, 0.7, 1.0, 2.0]),
            seed=draw.choice([None, 1000 + number]),
            top_p=draw.choice([1.0, 0.9, 0.1]),
            top_k=draw.choice([0, 0, 1, 40]),
            min_p=draw.choice([0.0, 0.0, 0.2]),
            repetition_penalty=draw.choice([1.0, 1.0, 1.3]),
            frequency_penalty=draw.choice([0.0, 0.0, 0.5]),
            logit_bias=draw.choice([(), ((5, 3.0),)]),
            logprobs=draw.choice([None, None, 0, 20]),
            prompt_logprobs=draw.choice([None, None, None, 2]),
            ignore_eos=True,
        )


FILTERS: list[dict[str, Any]] = [
    {},
    {"top_p": 0.9, "frequency_penalty": 0.3, "min_p": 0.01},
    {"top_k": 50, "repetition_penalty": 1.1, "min_tokens": 20},
]


@pytest.mark.parametrize("params", FILTERS, ids=",".join)
@pytest.mark.parametrize("budget", [64, 512])
def test_alone_as_among_63_others(subject: Subject, budget: int, params: dict[str, Any]) -> None:
    trial, draw = Trial(subject, token_budget=budget), random.Random(budget)
    add_others(trial.bench, 31, draw)
    for _ in range(3):  # they are at different stages when it comes
        trial.bench.step()
    trial.ask(PROMPT, **params)
    add_others(trial.bench, 32, draw)
    trial.bench.run()
    same(trial, alone(subject, PROMPT, **params))


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 20])
def test_a_prompt_in_one_piece_as_in_many(subject: Subject, budget: int) -> None:
    trial = Trial(subject, token_budget=budget, max_running=1)
    trial.ask(PROMPT)
    trial.bench.run()
    same(trial, alone(subject, PROMPT))


def test_computed_as_found_in_the_cache(subject: Subject) -> None:
    trial, draw = Trial(subject), random.Random(1)
    trial.bench.submit(PROMPT[:50], max_tokens=1, tenant="alice")
    add_others(trial.bench, 20, draw)
    trial.bench.run()
    trial.ask(PROMPT)
    trial.bench.run()
    assert trial.outcome.cached_tokens in (48, 64)
    same(trial, alone(subject, PROMPT))


def test_a_conversation_goes_on_from_an_answer_as_from_a_prompt(subject: Subject) -> None:
    trial = Trial(subject)
    answer = trial.bench.submit(PROMPT, max_tokens=60, tenant="alice", ignore_eos=True)
    add_others(trial.bench, 10, random.Random(2))
    trial.bench.run()
    conversation = [*PROMPT, *answer.token_ids, 1, 2, 3]
    trial.ask(conversation)
    trial.bench.run()
    assert trial.outcome.cached_tokens == 128  # of which most were sampled, one at a time
    same(trial, alone(subject, conversation))


@pytest.mark.parametrize("kept", [True, False], ids=["blocks kept", "blocks lost"])
def test_in_one_go_as_after_preemptions(subject: Subject, kept: bool) -> None:
    # Chunks of the budget's size: cut by the clock, one that comes again may be a single token.
    trial = Trial(subject, token_budget=64, max_stretch=0)
    add_others(trial.bench, 5, random.Random(4))
    trial.ask(PROMPT)
    scheduler = trial.bench.scheduler
    for length in (76, 81, 97):
        while len(trial.outcome.token_ids) < length - len(PROMPT):
            trial.bench.step()
        (victim,) = (one for one in scheduler.running if one.params.seed == SEED)
        if not kept:
            for block in victim.block_table:
                scheduler.pool.forget(block)
        scheduler._preempt(victim)
    trial.bench.run()
    assert trial.recorder.num_chunks_of_text >= (1 if kept else 3)
    same(trial, alone(subject, PROMPT))


def test_with_guesses_as_without(subject: Subject) -> None:
    # Few tokens are likely, so much is repeated and guessed; often wrongly.
    params = {"logit_bias": tuple((token, 40.0) for token in (7, 8, 9)), "max_tokens": 80}
    reference = alone(subject, [7, 8, 9] * 9, **params)
    trial = Trial(subject, max_drafts=16)
    trial.ask([7, 8, 9] * 9, **params)
    trial.bench.run()
    assert trial.bench.num_steps < reference.bench.num_steps
    same(trial, reference)
    crowded = Trial(subject, max_drafts=16)
    add_others(crowded.bench, 3, random.Random(5))
    crowded.ask([7, 8, 9] * 9, **params)
    crowded.bench.run()
    same(crowded, reference)


# Each part for itself.


class Wavering:
    """A model that adds up in another order where a step is large."""

    def __init__(self, model: NativeDecoder, limit: int) -> None:
        self._model, self._limit = model, limit
        self.vocab_size = model.vocab_size

    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        logits = self._model.logits(batch, cache)
        return logits.nextafter(logits + 1) if batch.slots.numel() > self._limit else logits


def test_what_depends_on_company_is_found_out(subject: Subject) -> None:
    cache = subject.cache()
    native = subject.native(cache)
    assert not depends_on_company(native, cache)
    assert arithmetic(native, cache)
    for limit in (1, 24, 100):
        assert depends_on_company(Wavering(native, limit), cache)


def test_nothing_is_promised_of_other_forms(subject: Subject) -> None:
    model, cache = subject.model, subject.cache()
    assert arithmetic(model, cache) == arithmetic(lean_form(model), cache) == ""
    native = subject.native(cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(company, "depends_on_company", lambda *_: True)
        assert arithmetic(native, cache) == ""


def test_the_dtype_of_the_cache_is_part_of_the_arithmetic(subject: Subject) -> None:
    caches = [replace(subject, cached=d).cache() for d in (torch.float32, torch.bfloat16)]
    names = {arithmetic(subject.native(cache), cache) for cache in caches}
    assert len(names) == 2
    assert "" not in names


def sampling_row(number: int, draw: random.Random) -> Row:
    """A row of the kind that `number` says, beside a few tokens."""
    kinds: list[dict[str, Any]] = [
        {},
        {"temperature": 0.0},
        {"top_p": 0.9, "temperature": 0.7},
        {"top_p": 0.999, "temperature": 2.0},  # needs more than the likeliest
        {"top_k": 20, "min_p": 0.01},
        {"top_k": 2 * LIKELIEST, "top_p": 0.95},
        {"repetition_penalty": 1.2, "presence_penalty": 0.5, "logit_bias": ((3, 1.5),)},
        {"min_p": 0.02, "frequency_penalty": -0.5},
    ]
    depth = draw.choice([None, 0, 1, 5, 20])
    params = SamplingParams(max_tokens=9, logprobs=depth, **kinds[number % len(kinds)])
    tokens = [draw.randrange(40) for _ in range(draw.randint(2, 9))]
    return Row(number, tokens, 1, len(tokens) - 1, 1, [1], params, number, True)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [50, 3 * LIKELIEST + 5, 131_072])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])  # the latter has many ties
def test_a_row_is_sampled_and_scored_alone_as_among_others(
    dtype: torch.dtype, size: int, threads: int
) -> None:
    draw = random.Random(size)
    logits = torch.randn(32, size, generator=torch.Generator().manual_seed(size)).to(dtype)
    rows = tuple(sampling_row(number, draw) for number in range(32))
    torch.set_num_threads(threads)

    def sample(places: list[int]) -> list[Sampled | None]:
        sampler = Sampler(size, (1,), CPU)
        return sampler.draw(logits[places], tuple(rows[n] for n in places)).read()

    together = sample(list(range(32)))
    for places in ([0], [1], [2], [3], [4], [5], [6], [7], [31, 19, 3, 8, 20]):
        assert sample(places) == [together[n] for n in places]


@pytest.mark.parametrize("size", [50, 3 * LIKELIEST + 5, 131_072])
def test_a_filter_leaves_the_same_probabilities_alone_as_among_others(size: int) -> None:
    draw = random.Random(size)
    logits = torch.randn(8, size, generator=torch.Generator().manual_seed(size))
    rows = [sampling_row(number, draw) for number in range(8)]
    torch.set_num_threads(2)
    sampler = Sampler(size, (1,), CPU)
    for width in (LIKELIEST, None):
        ids, probabilities, _ = sampler._filter(logits, rows, width)
        for n, row in enumerate(rows):
            own_ids, own, _ = sampler._filter(logits[n : n + 1], [row], width)
            assert torch.equal(own_ids[0], ids[n])
            assert torch.equal(own[0], probabilities[n])
