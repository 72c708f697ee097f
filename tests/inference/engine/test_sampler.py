"""Sampling follows the plain definitions, row by row, whatever else is in the batch."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from inference.engine.noise import uniform
from inference.engine.params import SamplingParams
from inference.engine.plan import Row
from inference.engine.sampler import LIKELIEST, Sampler, invert
from inference.engine.scores import Scores
from inference.engine.token_counts import TokenCounts

CPU = torch.device("cpu")


def row(tokens: list[int] | None = None, key: int = 1, prompt: int = 1, **params: Any) -> Row:
    tokens = tokens or [0]
    sampling = SamplingParams(**{"max_tokens": 100, **params})
    seed = 0 if sampling.seed is None else sampling.seed
    return Row(key, tokens, prompt, len(tokens) - 1, 1, [1], sampling, seed, True)


def make(vocab_size: int = 8, eos: tuple[int, ...] = (7,)) -> Sampler:
    return Sampler(vocab_size, eos, CPU)


def ids(sampler: Sampler, logits: torch.Tensor, rows: list[Row]) -> list[int]:
    out = sampler.draw(logits, tuple(rows)).read()
    return [-1 if sampled is None else sampled.token_id for sampled in out]


def reference(logits: np.ndarray, params: SamplingParams) -> np.ndarray:
    """The distribution, by the definitions and without haste: float64, one row."""
    scaled = logits.astype(np.float64) / params.temperature
    order = np.argsort(-scaled, kind="stable")
    if params.top_k:
        scaled[order[params.top_k :]] = -np.inf
    p = np.exp(scaled - scaled.max())
    p /= p.sum()
    if params.top_p < 1:
        before = np.cumsum(p[order]) - p[order]
        drop = order[before >= params.top_p]
        p[drop[drop != order[0]]] = 0
    p[p < params.min_p * p.max()] = 0
    return p / p.sum()


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 1.0},
        {"temperature": 0.5},
        {"temperature": 2.0, "top_k": 3},
        {"temperature": 1.0, "top_p": 0.7},
        {"temperature": 1.0, "top_p": 0.0},
        {"temperature": 1.3, "min_p": 0.2},
        {"temperature": 0.8, "top_k": 6, "top_p": 0.9, "min_p": 0.05},
    ],
    ids=str,
)
def test_it_samples_the_reference_distribution(params: dict[str, Any]) -> None:
    logits = torch.tensor([1.0, 0.5, 2.0, -1.0, 0.0, 1.7, -3.0, 0.9])
    draws = 8000
    rows = [row(seed=n, **params) for n in range(draws)]
    sampler = make()
    got = np.bincount(ids(sampler, logits.expand(draws, -1), rows), minlength=8) / draws
    expected = reference(logits.numpy(), rows[0].params)
    assert np.abs(got - expected).max() < 4 * math.sqrt(0.25 / draws)
    assert not got[expected == 0].any()


@pytest.mark.parametrize("top_p", [0.5, 0.999999])
@pytest.mark.parametrize("flatness", [0.01, 3.0])
def test_its_short_cut_for_large_vocabularies_changes_nothing(
    top_p: float, flatness: float
) -> None:
    size = 3 * LIKELIEST
    logits = torch.randn(4, size, generator=torch.Generator().manual_seed(0)) * flatness
    sampler = make(size)
    rows = [row(top_p=top_p), row(top_k=2 * LIKELIEST), row(min_p=0.5), row(top_k=7, top_p=0.9)]
    for index, one in enumerate(rows):
        found, probabilities, decided = sampler._filter(logits[index : index + 1], [one], LIKELIEST)
        if decided is not None and not decided.all():
            found, probabilities, decided = sampler._filter(logits[index : index + 1], [one], None)
            assert decided is None
        dense = torch.zeros(size, dtype=torch.float64)
        dense[found[0]] = probabilities[0].double()
        expected = reference(logits[index].numpy(), one.params)
        assert np.abs((dense / dense.sum()).numpy() - expected).max() < 1e-5


def test_a_row_that_needs_more_than_the_likeliest_is_drawn_again_among_all() -> None:
    size = 3 * LIKELIEST
    # So flat that top-p keeps half of them all, and no two alike.
    logits = torch.linspace(1e-3, 0.0, size).repeat(400, 1)
    logits[:, 5], logits[0, 7] = 1.0, 20.0
    rows = [row(top_p=0.5, seed=n, key=n, logprobs=0) for n in range(400)]
    drawn = make(size).draw(logits, tuple(rows))
    at_first = drawn.token_ids.tolist()
    final = drawn.read()
    assert drawn.redrawn
    assert final[0] is not None
    assert final[0].token_id == at_first[0] == 7  # decided at once: left as it was
    others = [sampled for sampled in final[1:] if sampled is not None]
    assert len({sampled.token_id for sampled in others}) > 300
    assert sum(
        sampled.token_id != first for sampled, first in zip(others, at_first[1:], strict=True)
    )
    own = logits.log_softmax(-1)[1:]
    for number, sampled in enumerate(others):
        assert sampled.logprobs is not None
        right = own[number, sampled.token_id].item()
        assert sampled.logprobs.logprob == pytest.approx(right, abs=1e-6)
    _, kept, _ = make(size)._filter(logits[1:2], [rows[1]], None)
    assert max(final[n].token_id for n in range(1, 400)) > LIKELIEST  # type: ignore[union-attr]
    assert abs(int((kept > 0).sum()) - size / 2) < 3


def test_a_draw_is_not_redrawn_when_the_host_knows_that_it_is_right() -> None:
    logits = torch.zeros(3, 3 * LIKELIEST)
    rows = (row(top_k=LIKELIEST, top_p=0.9), row(top_k=5), row(temperature=0.0))
    drawn = make(3 * LIKELIEST).draw(logits, rows)
    at_first = drawn.token_ids.tolist()
    assert [sampled.token_id for sampled in drawn.read() if sampled] == at_first
    assert not drawn.redrawn


def test_each_row_keeps_its_own_parameters() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0]]).expand(5, -1)
    rows = [
        row(temperature=0.0, key=1),
        row(temperature=0.0, key=2, logit_bias=((1, 100.0),)),
        row(temperature=1.0, key=3, top_k=1),
        row([0, 3, 3], key=4, prompt=1, temperature=0.0, frequency_penalty=2.0),
        row(temperature=2.0, key=5, seed=3, logit_bias=((5, 100.0),)),
    ]
    assert ids(make(), logits, rows) == [3, 1, 3, 2, 5]


def test_it_penalises_repetition_in_prompt_and_output_and_presence_in_the_output_only() -> None:
    logits = torch.tensor([[2.0, 1.9, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    repeated = [row([0], temperature=0.0, repetition_penalty=1.2)]
    assert ids(make(), logits, repeated) == [1]
    assert ids(make(), logits, [row([0], temperature=0.0, presence_penalty=2.0)]) == [0]
    present = [row([5, 0], temperature=0.0, presence_penalty=0.2)]
    assert ids(make(), logits, present) == [1]


def test_what_a_penalty_counts_is_counted_once_however_a_text_has_grown() -> None:
    counts, said = TokenCounts(8, CPU), [1, 2, 2, 3, 2]
    for length in (3, 3, 4, 5):
        seen, output = counts.of([row(said[:length], prompt=2)])
    assert seen[0].nonzero().flatten().tolist() == [1, 2, 3]
    assert output[0].tolist() == [0, 0, 2, 1, 0, 0, 0, 0]
    assert [each.tolist() for each in TokenCounts(8, CPU).of([row(said, prompt=2)])] == [
        seen.tolist(),
        output.tolist(),
    ]


def test_a_temperature_near_zero_is_what_it_says() -> None:
    logits = torch.tensor([[0.0, 0.01] + [-9.0] * 6]).repeat(50, 1)
    for filters in ({}, {"top_p": 0.9}):
        cold = [row(key=n, seed=n, temperature=1e-3, **filters) for n in range(50)]
        assert set(ids(make(), logits, cold)) == {1}
        tiny = [row(key=n, seed=n, temperature=1e-300, **filters) for n in range(50)]
        assert set(ids(make(), logits, tiny)) == {1}


def test_it_gives_the_same_token_when_a_row_is_run_twice() -> None:
    sampler, logits = make(), torch.randn(1, 8)
    tokens = [1, 2]
    first = ids(sampler, logits, [row(tokens, frequency_penalty=1.0, seed=5)])
    assert ids(sampler, logits, [row(tokens, frequency_penalty=1.0, seed=5)]) == first


def test_it_matches_transformers_repetition_penalty() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    logits = torch.randn(1, 8)
    theirs = RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([[1, 2, 3]]), logits.clone())
    rows = (row([1, 2, 3], repetition_penalty=1.7),)
    assert torch.allclose(make()._shape(logits, rows), theirs)


def test_it_suppresses_end_tokens_until_min_tokens() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0]])
    young = row([0, 1], temperature=0.0, min_tokens=2, stop_token_ids=(6,))
    old = row([0, 1, 1], temperature=0.0, min_tokens=2, stop_token_ids=(6,))
    assert ids(make(), logits, [young]) == [5]
    assert ids(make(), logits.expand(3, -1), [old, young, old]) == [7, 5, 7]


def test_a_seeded_row_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    logits = torch.randn(16, 8)
    rows = [row([1] * (n % 5 + 1), key=n, seed=n, top_p=0.9 if n % 2 else 1.0) for n in range(16)]
    together = ids(make(), logits, rows)
    alone = [ids(make(), logits[n : n + 1], [rows[n]])[0] for n in range(16)]
    assert together == alone


def test_noise_is_uniform_and_different_for_every_seed_and_position() -> None:
    grid = uniform([seed for seed in range(200) for _ in range(200)], list(range(200)) * 200)
    assert len(set(grid.tolist())) == 40_000
    counts = np.histogram(grid, bins=50, range=(0, 1))[0]
    assert ((counts - 800) ** 2 / 800).sum() < 100  # chi-squared, 49 degrees of freedom
    square = grid.reshape(200, 200)
    assert abs(np.corrcoef(square[:-1].ravel(), square[1:].ravel())[0, 1]) < 0.03
    assert uniform([-1], [0]) != uniform([1], [0])


def split_mix(state: int) -> int:
    """Give the first number of SplitMix64 from a state (Steele, Lea and Flood, 2014)."""
    whole = 2**64 - 1
    mixed = state + 0x9E3779B97F4A7C15 & whole
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & whole
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & whole
    return mixed ^ mixed >> 31


@pytest.mark.parametrize("seed", [0, 42, -1, 2**63 - 1, -(2**63)])
def test_noise_stays_what_it_is_or_seeds_would_give_other_texts(seed: int) -> None:
    assert split_mix(0) == 0xE220A8397B1DCDAF
    for position in (0, 1, 7, 131_072):
        state = split_mix(seed % 2**64) + position * 0x9E3779B97F4A7C15
        assert uniform([seed], [position])[0] == (split_mix(state) >> 11) / 2**53


def test_each_row_gets_as_many_alternatives_as_it_asks_for() -> None:
    rows = [row(temperature=0.0, logprobs=depth) for depth in (0, 3, None, 1)]
    drawn = make().draw(torch.randn(4, 8), tuple(rows)).read()
    depths = [len(s.logprobs.top) if s and s.logprobs else None for s in drawn]
    assert depths == [0, 3, None, 1]


def test_it_reports_logprobs_of_the_models_own_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0]])
    one = row(temperature=0.0, logprobs=3, logit_bias=((1, 100.0),))
    (sampled,) = make().draw(logits, (one,)).read()
    assert sampled is not None
    assert sampled.logprobs is not None
    own = logits.log_softmax(-1)[0]
    assert sampled.token_id == 1
    assert sampled.logprobs.logprob == pytest.approx(own[1].item())
    assert [token_id for token_id, _ in sampled.logprobs.top] == [3, 2, 1]


def test_the_greedy_tokens_logprob_equals_the_maximum_exactly() -> None:
    logits = torch.randn(1, 5000)
    best = logits.argmax(-1)
    (entry,) = Scores(logits, best, [1]).read(best.tolist())
    assert entry.logprob == entry.top[0][1]


def test_it_fails_the_row_whose_logits_are_no_numbers_and_no_other() -> None:
    logits = torch.zeros(4, 8)
    logits[1, 3] = torch.nan
    logits[2] = torch.inf
    rows = [row(key=n, temperature=t, top_p=0.5) for n, t in enumerate((1.0, 1.0, 0.0, 0.0))]
    out = make().draw(logits, tuple(rows)).read()
    assert [sampled is None for sampled in out] == [False, True, True, False]


def test_it_never_draws_what_is_impossible() -> None:
    probabilities = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]).expand(3, -1)
    points = torch.tensor([0.0, 0.5, 1.0])  # 1.0: what rounding can make of it
    assert set(invert(probabilities, points).tolist()) <= {1, 3}
