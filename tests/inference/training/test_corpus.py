"""The corpus: the same for the same seed, clean, varied, and split for ever."""

import json
import random
import re
from collections import defaultdict
from itertools import islice

import pytest

from inference.training.cleaning import clean, distinct_ngrams, is_sound, normalised_text
from inference.training.corpus import (
    asked_details,
    asked_en,
    asked_zh,
    objects,
    service_details,
    service_en,
    service_zh,
    stories_robot,
)
from inference.training.corpus.mixture import (
    CHINESE_TOPICS,
    ENGLISH_TOPICS,
    FINE_TUNING,
    POLISHING,
    PRETRAINING,
    careless,
    documents,
    named_service_chat,
    split,
)
from inference.training.documents import chat, is_held_out, key_is_held_out, raw
from inference.training.grammar import expand
from inference.training.probes import probes


@pytest.fixture(scope="module")
def training_documents():
    return list(split(11, 1500, held_out=False))


def test_one_seed_gives_one_corpus():
    assert list(islice(documents(5), 300)) == list(islice(documents(5), 300))
    assert list(islice(documents(5), 300)) != list(islice(documents(6), 300))


def test_few_generated_documents_are_exact_duplicates(training_documents):
    kept = list(clean(training_documents))
    assert len({document.turns for document in kept}) == len(kept)
    assert len(kept) > 0.93 * len(training_documents)


def test_no_template_mark_is_left_in_any_document(training_documents):
    for document in training_documents:
        if document.kind == "story":
            assert not set("[]{}|") & set(document.text), document.text
        assert "<<" not in document.text
        assert "{S}" not in document.text


def test_no_training_document_holds_a_held_out_key():
    held_out = list(split(3, 80, held_out=True))
    assert all(is_held_out(document) for document in held_out)
    kept = list(split(3, 800, held_out=False))
    assert not any(is_held_out(document) for document in kept)
    held_keys = {
        key for document in held_out for key in document.keys if is_held_out(raw("", "", "", key))
    }
    assert held_keys
    assert not held_keys & {key for document in kept for key in document.keys}


def test_no_training_chat_asks_a_question_of_the_probes(training_documents):
    asked = {
        turn.content
        for document in training_documents
        if document.kind in ("sum", "list", "json")
        for turn in document.turns
        if turn.role == "user"
    }
    for probe in probes(50):
        if probe.name in (
            "sums and differences",
            "JSON with the keys asked for",
            "lists in English",
        ):
            assert not asked & {prompt.question for prompt in probe.prompts}, probe.name


def test_every_kind_of_document_comes_in_a_form_the_tokenizer_knows():
    rng = random.Random(1)
    for maker, _ in (*PRETRAINING, *FINE_TUNING, *POLISHING):
        for _ in range(30):
            document = maker(rng)
            roles = [turn.role for turn in document.turns]
            if document.is_chat:
                said = roles[1:] if roles[0] == "system" else roles
                assert said == ["user", "assistant"] * (len(said) // 2), maker
                assert said
            else:
                assert roles == ["text"]
            assert all(turn.content.strip() for turn in document.turns)


@pytest.mark.parametrize("topics", [ENGLISH_TOPICS, CHINESE_TOPICS], ids=["en", "zh"])
def test_every_answer_about_the_service_states_its_fact(topics):
    for topic in topics:
        for template in topic.answers:
            for answer in expansions(template):
                assert any(fact in answer for fact in topic.facts), (topic.name, answer)


@pytest.mark.parametrize("topics", [ENGLISH_TOPICS, CHINESE_TOPICS], ids=["en", "zh"])
def test_every_topic_is_asked_in_many_ways(topics):
    for topic in topics:
        ways = set().union(*map(expansions, topic.questions))
        assert len(topic.questions) >= 10, topic.name
        assert len(ways) >= 25, (topic.name, len(ways))


@pytest.mark.parametrize("topics", [ENGLISH_TOPICS, CHINESE_TOPICS], ids=["en", "zh"])
def test_no_held_out_question_is_trained_on_in_other_capitals_or_with_other_signs(topics):
    """Else the evaluation would ask what was learnt by heart."""
    sides: dict[str, set[bool]] = defaultdict(set)
    for topic in topics:
        for question in set().union(*map(expansions, topic.questions)):
            bare = re.sub(r"\W+", "", question.lower())
            if bare:
                sides[bare].add(key_is_held_out(f"service:{topic.name}:{question}"))
    assert [bare for bare, held_out in sides.items() if len(held_out) > 1] == []


def expansions(template):
    """Everything that the template may become for this service."""
    choice = re.search(r"\[([^\[\]]*)\]", template.replace("<<", "  ").replace(">>", "  "))
    if choice is None:
        return {expand(random.Random(0), template, {"S": "Parlance"})}
    start, end = choice.span()
    return set().union(
        *(expansions(template[:start] + chosen + template[end:]) for chosen in choice[1].split("|"))
    )


@pytest.mark.parametrize(
    ("topics", "further"),
    [
        (service_en.TOPICS, asked_en.FURTHER),
        (service_zh.TOPICS, asked_zh.FURTHER),
        (service_details.ENGLISH, asked_details.ENGLISH),
        (service_details.CHINESE, asked_details.CHINESE),
    ],
)
def test_further_questions_belong_to_a_topic(topics, further):
    assert set(further) <= {topic.name for topic in topics}


@pytest.mark.parametrize(("language", "question"), [("en", "???"), ("zh", "。"), ("en", "Who?")])
def test_a_careless_question_is_never_empty(language, question):
    rng = random.Random(4)
    asked = {careless(rng, language, question) for _ in range(200)}
    assert len(asked) > 5
    assert all(asked)


def test_a_robot_that_the_prompt_does_not_name_mostly_has_a_plain_name():
    rng = random.Random(6)
    told = [stories_robot.robot_story_document(rng) for _ in range(400)]
    named = [document.keys[0].split(":")[2] in stories_robot.NAMES for document in told]
    assert 0.8 < sum(named) / len(named) < 0.97


def test_the_robot_stories_are_long_varied_and_keep_their_hero():
    rng = random.Random(3)
    told = []
    for _ in range(100):
        slots = stories_robot.robot_slots(rng)
        _, story = stories_robot.robot_story(rng, slots)
        assert len(story.split()) >= 120
        assert distinct_ngrams(story) > 0.9
        assert slots["N"] in story.split("\n\n")[-1] or slots["N"] in story.split("\n\n")[0]
        told.append(story)
    assert len(set(told)) == 100


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("A plain sentence.", True),
        ("你好，世界！", True),
        ("no", False),
        ("a sign from elsewhere: \u0416", False),
        ("a bell \x07 rings", False),
        ("again and again " * 40, False),
        ("x" * 9000, False),
    ],
)
def test_cleaning_refuses_what_would_teach_nothing(text, sound):
    assert is_sound(text) is sound


def test_cleaning_normalises_and_drops_the_second_of_two_equal_texts():
    assert normalised_text("e\u0301t\u00e9  \n ") == "été"
    twice = [raw("page", "en", "Cafe\u0301 time."), raw("page", "en", "Café time.  ")]
    assert [document.text for document in clean(twice)] == ["Café time."]


def test_a_slot_keeps_brackets_that_are_not_choices():
    rng = random.Random(0)
    assert expand(rng, "<<{x}>> {x}", {"x": "a|b"}) == "[a|b] a|b"
    assert {expand(rng, "[a|b[c|d]]") for _ in range(50)} == {"a", "bc", "bd"}


def test_one_held_out_key_holds_the_whole_document_out():
    held = next(f"key:{i}" for i in range(1000) if is_held_out(raw("", "", "", f"key:{i}")))
    free = next(f"key:{i}" for i in range(1000) if not is_held_out(raw("", "", "", f"key:{i}")))
    assert is_held_out(chat("sum", "en", [("q", "a")], free, held))
    assert not is_held_out(chat("sum", "en", [("q", "a")], free))


def test_a_greeting_names_the_service_where_the_system_message_did():
    answers = []
    for seed in range(300):
        system, *turns = named_service_chat(random.Random(seed), "Zorvia").turns
        assert "Zorvia" in system.content
        if turns[0].content.rstrip(".!。！") in ("Hello", "hello", "Hi", "hi", "你好", "您好"):
            answers.append(turns[1].content)
    assert len(answers) > 20
    assert all("Zorvia" in answer for answer in answers), answers


def test_keys_that_do_not_go_together_are_named_in_the_question():
    rng = random.Random(8)
    together = [set(keys) for keys in objects.SUBJECTS.values()]
    strangers = 0
    for _ in range(300):
        question, answer = (turn.content for turn in objects.any_keys_chat(rng).turns)
        keys = set(json.loads(answer))
        assert all(key in question for key in keys), question
        strangers += not any(keys <= known for known in together)
    assert strangers > 200
