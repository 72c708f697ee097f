"""`best_of`: of several samples of each prompt, the ones with the highest mean log-probability."""

import dataclasses
from collections import defaultdict
from collections.abc import AsyncIterator

from inference.generation import Generation
from inference.spec import TextDelta


async def best_samples(generation: Generation) -> AsyncIterator[TextDelta]:
    """Collect every sample, then yield the best `n` of each prompt, the best one first."""
    collected: dict[int, list[TextDelta]] = defaultdict(list)
    while news := await generation.news():
        for delta in news:
            collected[delta.index].append(delta)
    asked_for_logprobs = generation.spec.sampling.logprobs is not None
    samples, kept = generation.samples, generation.spec.n
    for prompt_index in range(len(generation.prompts)):
        first = prompt_index * samples
        ranked = sorted(range(first, first + samples), key=lambda i: -mean_logprob(collected[i]))
        for rank, index in enumerate(ranked[:kept]):
            for delta in collected[index]:
                yield dataclasses.replace(
                    delta,
                    index=prompt_index * kept + rank,
                    logprobs=delta.logprobs if asked_for_logprobs else (),
                )


def mean_logprob(deltas: list[TextDelta]) -> float:
    values = [
        entry.logprob for delta in deltas for entry in delta.logprobs if entry.logprob is not None
    ]
    return sum(values) / len(values) if values else float("-inf")
