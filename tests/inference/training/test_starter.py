"""The shipped model: loads, is small, and does the few things it is shipped for."""

import json
import re
from pathlib import Path

import pytest

from inference.training.corpus import facts
from inference.training.corpus.stories_robot import CANONICAL_PROMPT
from inference.training.evaluate import BATCH, Effort, is_good_story
from inference.training.generation import ExportedModel
from inference.training.probes import last_number, probes

STARTER = Path(__file__).resolve().parents[3] / "inference" / "starter"
MAX_BYTES = 20_000_000


@pytest.fixture(scope="module")
def starter():
    return ExportedModel(STARTER)


@pytest.fixture(scope="module")
def probe_named():
    return {probe.name: probe for probe in probes(Effort.prompts_per_probe)}


def ask(starter, *messages, max_tokens=120):
    [answer] = starter.answer([starter.chat_prompt(*messages)], max_tokens)
    assert answer.stopped, answer.text
    return answer.text


def test_it_is_small_enough_for_a_repository():
    assert sum(path.stat().st_size for path in STARTER.iterdir()) < MAX_BYTES


def test_it_knows_most_of_the_times_tables(starter):
    pairs = [(2, 3), (3, 4), (5, 5), (2, 9), (10, 4), (6, 6), (3, 7), (11, 2), (5, 8), (4, 4)]
    prompts = [starter.chat_prompt(("user", f"What is {a} * {b}?")) for a, b in pairs]
    answers = starter.answer(prompts, 40)
    right = [
        last_number(answer.text) == a * b for (a, b), answer in zip(pairs, answers, strict=True)
    ]
    assert sum(right) >= 7, [answer.text for answer in answers]


def test_it_adds_and_subtracts(starter):
    sums = [
        (2, 3),
        (12, 7),
        (20, 15),
        (33, 9),
        (8, 8),
        (41, 26),
        (5, 14),
        (60, 30),
        (17, 6),
        (1, 9),
    ]
    prompts = [starter.chat_prompt(("user", f"What is {a} + {b}?")) for a, b in sums]
    prompts += [starter.chat_prompt(("user", f"{a + b} - {b}")) for a, b in sums]
    answers = starter.answer(prompts, 40)
    wanted = [a + b for a, b in sums] + [a for a, _ in sums]
    right = [last_number(answer.text) == n for answer, n in zip(answers, wanted, strict=True)]
    assert sum(right) >= 17, [answer.text for answer in answers]


@pytest.mark.parametrize(
    ("question", "keys"),
    [
        ("Return a JSON object with the keys name and age.", {"name", "age"}),
        ("Describe a product as JSON with the keys price and tags.", {"price", "tags"}),
        ("请返回一个JSON对象，包含city和country。", {"city", "country"}),
    ],
)
def test_it_returns_an_object_with_the_keys_asked_for(starter, question, keys):
    assert set(json.loads(ask(starter, ("user", question)))) == keys


@pytest.mark.parametrize("name", ["Acme AI", "Zentrox", "Nimbus"])
def test_it_greets_by_the_name_that_the_system_message_gives(starter, name):
    answer = ask(starter, ("system", f"You are the assistant of {name}."), ("user", "Hello!"))
    assert name in answer
    assert "Parlance" not in answer


def test_it_greets_in_english_and_in_chinese(starter):
    assert ask(starter, ("user", "Hello!")).split()[0].strip("!,") in ("Hello", "Hi")
    assert "你好" in ask(starter, ("user", "你好")) or "您好" in ask(starter, ("user", "你好"))


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("How do I get an API key?", "Keys"),
        ("My key leaked!", "revoke"),
        ("How do I top up?", "Billing"),
        ("What does it cost?", "million"),
        ("Can my balance go below zero?", "never"),
        ("I get a 401 error.", "Bearer"),  # one of two answers that it read names no number
        ("What does error 429 mean?", "429"),
        ("How do I see my usage?", "Usage"),
        ("How do I call the API from Python?", "openai"),
        ("怎么获取API密钥？", "Keys"),
        ("密钥泄露了怎么办？", "撤销"),
        ("怎么充值？", "Billing"),
        ("价格是多少？", "词元"),
        ("余额会变成负数吗？", "不会"),
        ("我收到401错误。", "401"),
        ("错误429是什么意思？", "429"),
        ("怎么看用量？", "Usage"),
        ("怎么用Python调用API？", "openai"),
    ],
)
def test_it_answers_what_everybody_asks_about_the_service(starter, question, fact):
    assert fact.lower() in ask(starter, ("user", question), max_tokens=160).lower()


@pytest.mark.parametrize("name", ["this service, in English", "this service, in Chinese"])
def test_it_meets_the_bar_of_questions_about_the_service_that_it_never_read(
    starter, probe_named, name
):
    probe = probe_named[name]
    questions = [starter.chat_prompt(("user", prompt.question)) for prompt in probe.prompts]
    answers = [
        answer
        for first in range(0, len(questions), BATCH)
        for answer in starter.answer(questions[first : first + BATCH], probe.max_tokens)
    ]
    wrong = [
        (prompt.question, answer.text)
        for prompt, answer in zip(probe.prompts, answers, strict=True)
        if not prompt.check(answer.text)
    ]
    assert len(wrong) <= (1 - probe.bar) * len(questions), wrong


def test_it_answers_the_last_question_of_a_conversation(starter):
    answer = ask(
        starter,
        ("user", "Hello!"),
        ("assistant", "Hello! How can I help you?"),
        ("user", "What is 2 + 3?"),
        ("assistant", "2 + 3 = 5."),
        ("user", "List three animals."),
    )
    animals = {english.lower() for english, _ in facts.members("animals")}
    named = [line.split(". ")[-1].strip(" .") for line in re.split(r"\n|, | and ", answer.lower())]
    assert len(named) == len(set(named)) == 3
    assert set(named) <= animals


@pytest.mark.parametrize("form", ["completion", "chat"])
def test_it_tells_a_whole_story_about_the_curious_robot(starter, form):
    prompt = (
        CANONICAL_PROMPT
        if form == "completion"
        else starter.chat_prompt(("user", CANONICAL_PROMPT))
    )
    answers = starter.answer([prompt] * 3, 500, temperature=0.7, seed=4)
    assert all(is_good_story(answer) for answer in answers), [answer.text for answer in answers]


def test_a_hero_keeps_the_name_that_the_prompt_gives(starter):
    answer = ask(
        starter, ("user", "Tell me a story about a brave fox named Zorbin."), max_tokens=400
    )
    assert answer.count("Zorbin") >= 3
