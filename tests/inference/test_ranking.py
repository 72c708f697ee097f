"""`best_of` gives the samples that the model itself finds likeliest."""

from types import SimpleNamespace
from typing import cast

from inference.engine.params import SamplingParams
from inference.generation import Generation
from inference.ranking import best_samples
from inference.spec import TextDelta, TokenLogprob


def delta(index: int, text: str, *logprobs: float) -> TextDelta:
    entries = tuple(TokenLogprob(7, b"a", value) for value in logprobs)
    return TextDelta(index, text, len(logprobs), logprobs=entries)


# Two prompts, three samples each; their parts come mixed.
SAID = [
    delta(0, "so-so", -1.0, -1.0),
    delta(3, "bad", -9.0),
    delta(1, "go", -0.5),
    delta(4, "fine", -2.0, -1.0),
    delta(2, "long, and yet likely", *[-0.9] * 20),
    delta(1, "od", -0.1),
    delta(5, "best", -0.2),
]


async def ranked(n: int, logprobs: int | None) -> list[TextDelta]:
    said = [SAID[:3], SAID[3:], []]

    async def news() -> list[TextDelta]:
        return said.pop(0)

    spec = SimpleNamespace(n=n, sampling=SamplingParams(max_tokens=30, logprobs=logprobs))
    generation = SimpleNamespace(spec=spec, samples=3, prompts=[0, 1], news=news)
    return [part async for part in best_samples(cast("Generation", generation))]


async def test_the_best_of_each_prompt_come_first_by_their_mean() -> None:
    texts: dict[int, str] = {}
    for part in await ranked(2, logprobs=0):
        texts[part.index] = texts.get(part.index, "") + part.text
    assert texts == {0: "good", 1: "long, and yet likely", 2: "best", 3: "fine"}


async def test_log_probabilities_are_given_only_when_asked_for() -> None:
    assert all(part.logprobs for part in await ranked(1, logprobs=0))
    assert not any(part.logprobs for part in await ranked(1, logprobs=None))
