"""Held-out prompts and how their answers are judged.

A probe is one ability: prompts that no training document contains, each with a check of the
answer's text.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from inference.training.corpus import facts, objects, sums
from inference.training.corpus.mixture import CHINESE_TOPICS, ENGLISH_TOPICS
from inference.training.corpus.topic import Topic
from inference.training.documents import key_is_held_out
from inference.training.grammar import one

Check = Callable[[str], bool]


@dataclass(frozen=True)
class Prompt:
    question: str
    check: Check


@dataclass(frozen=True)
class Probe:
    """`bar`: the share of answers that must pass; `max_tokens`: enough for a good answer."""

    name: str
    prompts: tuple[Prompt, ...]
    bar: float
    max_tokens: int = 160


def probes(count: int, seed: int = 7) -> list[Probe]:
    """All probes, each with up to `count` different prompts.

    A bar is what a starter model has to reach, whether or not the shipped one does.
    """
    sources: tuple[tuple[str, Callable[[random.Random], Iterator[Prompt]], float], ...] = (
        ("sums and differences", sum_prompts, 0.8),
        ("times tables", product_prompts, 0.8),
        ("lists in English", english_list_prompts, 0.8),
        ("lists in Chinese", chinese_list_prompts, 0.8),
        ("valid JSON", valid_json_prompts, 0.85),
        ("JSON with the keys asked for", json_prompts, 0.8),
        ("this service, in English", english_service_prompts, 0.85),
        ("this service, in Chinese", chinese_service_prompts, 0.8),
    )
    return [
        Probe(name, tuple(_different(source(random.Random(seed)), count)), bar)
        for name, source, bar in sources
    ]


def _different(prompts: Iterator[Prompt], count: int) -> Iterator[Prompt]:
    """Up to `count` prompts with different questions; gives up where no new ones come any more."""
    seen: set[str] = set()
    num_known = 0  # in a row
    for prompt in prompts:
        if prompt.question in seen:
            num_known += 1
            if num_known == 20 * count:
                return
            continue
        num_known = 0
        seen.add(prompt.question)
        yield prompt
        if len(seen) == count:
            return


def sum_prompts(rng: random.Random) -> Iterator[Prompt]:
    while True:
        sign = rng.choice("+-")
        a, b, result = sums.operands(rng, sign)
        if any(map(key_is_held_out, sums.sum_keys(a, b, sign))):
            yield _sum_prompt(rng, a, b, sign, result)


def product_prompts(rng: random.Random) -> Iterator[Prompt]:
    """The tables themselves were learnt: this asks whether they are remembered."""
    while True:
        a, b, result = sums.operands(rng, "×")
        yield _sum_prompt(rng, a, b, "×", result)


def _sum_prompt(rng: random.Random, a: int, b: int, sign: str, result: int) -> Prompt:
    questions = rng.choice((sums.ENGLISH_QUESTIONS, sums.ENGLISH_QUESTIONS, sums.CHINESE_QUESTIONS))
    question = one(rng, questions[sign], {"a": str(a), "b": str(b)})
    return Prompt(question, lambda answer: last_number(answer) == result)


def last_number(text: str) -> int | None:
    numbers = re.findall(r"\d+", text)
    return int(numbers[-1]) if numbers else None


def english_list_prompts(rng: random.Random) -> Iterator[Prompt]:
    while True:
        key, question, _ = facts.english_list(rng)
        if key_is_held_out(key):
            category = key.split(":")[1]
            known = {english.lower() for english, _ in facts.members(category)}
            yield Prompt(question, _is_list_of(known, int(key.split(":")[2])))


def chinese_list_prompts(rng: random.Random) -> Iterator[Prompt]:
    while True:
        key, question, _ = facts.chinese_list(rng)
        if key_is_held_out(key):
            known = {chinese.lower() for _, chinese in facts.members(key.split(":")[1])}
            yield Prompt(question, _is_list_of(known, int(key.split(":")[2])))


def _is_list_of(known: set[str], count: int) -> Check:
    def check(answer: str) -> bool:
        items = re.split(r"\n|, | and |、", re.sub(r"\d+\. ", "", answer.lower()))
        named = [item.strip(" .。") for item in items]
        return len(named) == count == len(set(named)) and set(named) <= known

    return check


def valid_json_prompts(rng: random.Random) -> Iterator[Prompt]:
    """The same prompts, when any object will do."""
    for prompt in json_prompts(rng):
        yield Prompt(prompt.question, _is_object)


def _is_object(answer: str) -> bool:
    try:
        return isinstance(json.loads(answer), dict)
    except ValueError:
        return False


def json_prompts(rng: random.Random) -> Iterator[Prompt]:
    while True:
        key, question, _ = rng.choice(
            (objects.keyed_object, objects.keyed_object, objects.chinese_object)
        )(rng)
        if key_is_held_out(key):
            yield Prompt(question, _has_keys(set(key.removeprefix("json:").split(","))))


def _has_keys(keys: set[str]) -> Check:
    def check(answer: str) -> bool:
        try:
            value = json.loads(answer)
        except ValueError:
            return False
        return isinstance(value, dict) and set(value) == keys

    return check


def english_service_prompts(rng: random.Random) -> Iterator[Prompt]:
    return _service_prompts(rng, ENGLISH_TOPICS)


def chinese_service_prompts(rng: random.Random) -> Iterator[Prompt]:
    return _service_prompts(rng, CHINESE_TOPICS)


def _service_prompts(rng: random.Random, topics: tuple[Topic, ...]) -> Iterator[Prompt]:
    while True:
        topic = rng.choice(topics)
        question = one(rng, topic.questions, {"S": "Parlance"})
        if key_is_held_out(f"service:{topic.name}:{question}"):
            yield Prompt(question, _states_one_of(topic.facts))


def _states_one_of(wanted: tuple[str, ...]) -> Check:
    return lambda answer: any(fact in answer for fact in wanted)
