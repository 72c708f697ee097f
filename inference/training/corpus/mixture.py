# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""The whole corpus: how much of each kind, and the chats that join several kinds."""

import random
from collections.abc import Callable, Iterator

from inference.training.corpus import (
    facts,
    objects,
    pages,
    service_details,
    service_en,
    service_zh,
    smalltalk,
    stories,
    stories_zh,
    sums,
    tasks,
)
from inference.training.corpus.instructions import instructed_chat
from inference.training.corpus.made_up import made_up_service
from inference.training.corpus.stories_robot import robot_story_document
from inference.training.corpus.topic import Topic
from inference.training.documents import Document, Turn, chat, is_held_out, raw
from inference.training.grammar import expand, one

SERVICE_NAMES = ("Parlance", "Parlance", "Parlance", "Parlance", "Parlance", "Parlance", "Acme AI", "Nimbus", "Tavola", "Lumen Chat", "Harbour", "Northwind AI")
# Makers of documents, and how often each is chosen.
Mixture = tuple[tuple[Callable[[random.Random], Document], float], ...]

ENGLISH_TOPICS = service_en.TOPICS + service_details.ENGLISH
CHINESE_TOPICS = service_zh.TOPICS + service_details.CHINESE
SYSTEM_MESSAGES = (
    "You are a helpful assistant.", "You are a helpful assistant.", "You are a friendly assistant.", "Be polite.",
    "You are the assistant of {S}.", "You are the assistant of {S}, a language-model service.", "You are a helpful assistant on {S}.",
    "You are {S}'s starter model.", "This service is called {S}.", "你是一个有用的助手。", "你是{S}的助手。",
)  # fmt: skip
# What people put around a question, whatever it is about.
BEFORE = ("Hi! ", "Hello, ", "Hey, ", "A question: ", "Please tell me: ", "I would like to know: ", "Quick question: ", "I have a question. ", "Sorry to ask, but: ", "Hello! ", "One more thing: ", "And another question: ")
AFTER = (" Thanks!", " Thank you.", " Please explain.", " Thanks in advance.", " Please help.", " I could not find it.", " I am a beginner.")
ZH_BEFORE = ("你好，", "请问，", "请问", "我想问一下，", "我想知道：", "打扰一下，", "你好！", "还有一个问题：", "麻烦问一下，")
ZH_AFTER = ("谢谢！", "谢谢。", "麻烦了。", "我是新手。", "请帮帮我。")


def documents(seed: int, mixture: Mixture | None = None) -> Iterator[Document]:
    """An endless stream of a mixture (PRETRAINING if None); held-out items included."""
    rng = random.Random(seed)
    makers = [maker for maker, _ in mixture or PRETRAINING]
    weights = [weight for _, weight in mixture or PRETRAINING]
    while True:
        yield rng.choices(makers, weights)[0](rng)


def split(
    seed: int, count: int, held_out: bool, mixture: Mixture | None = None
) -> Iterator[Document]:
    """The first `count` documents of one side of the split."""
    stream = (document for document in documents(seed, mixture) if is_held_out(document) is held_out)
    for _, document in zip(range(count), stream, strict=False):
        yield document


def service_exchange(rng: random.Random, language: str, service: str) -> tuple[Topic, str, str]:
    topic = rng.choice(ENGLISH_TOPICS if language == "en" else CHINESE_TOPICS)
    slots = {"S": service}
    return topic, one(rng, topic.questions, slots), one(rng, topic.answers, slots)


def service_chat(rng: random.Random) -> Document:
    """One to six turns about the service, some with small talk around them."""
    known = rng.choice(SERVICE_NAMES)
    made_up = known != "Parlance" and rng.random() < 0.6
    return named_service_chat(rng, made_up_service(rng) if made_up else known)


def parlance_service_chat(rng: random.Random) -> Document:
    return named_service_chat(rng, "Parlance")


def named_service_chat(rng: random.Random, name: str) -> Document:
    language = rng.choice(("en", "en", "zh"))
    # A service of another name must have been named by a system message.
    system = "" if name == "Parlance" and rng.random() < 0.6 else system_message(rng, name)
    exchanges: list[tuple[str, str]] = []
    keys: list[str] = []
    if rng.random() < 0.25:
        greetings = greetings_of(language, named=name in system)
        exchanges.append(smalltalk.exchange_from(rng, greetings, name))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        topic, question, answer = service_exchange(rng, language, name)
        exchanges.append((careless(rng, language, question), answer))
        keys.append(f"service:{topic.name}:{question}")
    if rng.random() < 0.2:
        closings = smalltalk.CLOSINGS if language == "en" else smalltalk.ZH_CLOSINGS
        exchanges.append(smalltalk.exchange_from(rng, closings, name))
    return chat("service", language, exchanges, *keys, system=system)


def greetings_of(language: str, named: bool) -> tuple[smalltalk.Exchange, ...]:
    if language == "en":
        return smalltalk.NAMED_GREETINGS if named else smalltalk.GREETINGS
    return smalltalk.ZH_NAMED_GREETINGS if named else smalltalk.ZH_GREETINGS


def system_message(rng: random.Random, service: str) -> str:
    naming = [message for message in SYSTEM_MESSAGES if "{S}" in message or service == "Parlance"]
    return expand(rng, rng.choice(naming), {"S": service})


def careless(rng: random.Random, language: str, question: str) -> str:
    """People greet first, add thanks, and do not always type capitals and full stops."""
    before, after = (BEFORE, AFTER) if language == "en" else (ZH_BEFORE, ZH_AFTER)
    bare = question.rstrip("?.。？") or question
    kind = rng.random()
    if kind < 0.12:
        return bare.lower()
    if kind < 0.2:
        return bare
    if kind < 0.3:
        return rng.choice(before) + question
    if kind < 0.36:
        return question + rng.choice(after)
    return question.replace("What is ", "What's ", 1) if kind < 0.4 else question


def service_page(rng: random.Random) -> Document:
    """A page of questions and answers, as raw text."""
    language = rng.choice(("en", "en", "zh"))
    parts: list[str] = []
    keys: list[str] = []
    for _ in range(rng.randint(2, 5)):
        topic, question, answer = service_exchange(rng, language, "Parlance")
        parts.append(rng.choice(("Q: {q}\nA: {a}", "{q}\n{a}", "## {q}\n\n{a}")).replace("{q}", question).replace("{a}", answer))
        keys.append(f"service:{topic.name}:{question}")
    return raw("service", language, "\n\n".join(dict.fromkeys(parts)), *keys)


def mixed_chat(rng: random.Random) -> Document:
    """Several subjects in one conversation: the model must answer the last question, not the topic before."""
    return joined_chat(rng, rng.randint(2, 4))


def long_chat(rng: random.Random) -> Document:
    """Too long for the short rows of pre-training: these teach what comes late in a conversation."""
    return joined_chat(rng, rng.randint(6, 12))


def joined_chat(rng: random.Random, parts: int) -> Document:
    turns: list[Turn] = []
    keys: list[str] = []
    languages: set[str] = set()
    for _ in range(parts):
        part = rng.choice(MIXED)(rng)
        keys += part.keys
        languages.add(part.language)
        turns += [turn for turn in part.turns if turn.role != "system"]
    if rng.random() < 0.4:
        turns.insert(0, Turn("system", system_message(rng, "Parlance")))
    return Document("mixed", "zh" if "zh" in languages else "en", tuple(turns), tuple(keys))


def parlance_smalltalk(rng: random.Random) -> Document:
    return smalltalk.smalltalk_chat(rng, "Parlance")


def chinese_list_chat(rng: random.Random) -> Document:
    return facts.list_chat(rng, ("zh",))


def story_chat(rng: random.Random) -> Document:
    """Any of the stories, but as a chat."""
    while True:
        document = rng.choice((robot_story_document, stories.story_document, stories_zh.story_document))(rng)
        if document.is_chat:
            return document


MIXED: tuple[Callable[[random.Random], Document], ...] = (
    parlance_service_chat, parlance_smalltalk, sums.sum_chat, facts.list_chat, facts.fact_chat, objects.object_chat,
    smalltalk.code_chat, tasks.fallback, tasks.task_chat, story_chat,
)  # fmt: skip

# Weights count documents, not tokens: a story is ten times as long as a sum.
PRETRAINING: Mixture = (
    (robot_story_document, 9), (stories.story_document, 8), (stories_zh.story_document, 6),
    (service_chat, 22), (service_page, 2), (instructed_chat, 5),
    (parlance_smalltalk, 9), (smalltalk.code_chat, 2), (tasks.fallback, 6), (tasks.task_chat, 6), (tasks.echo, 8),
    (sums.sum_chat, 9), (sums.word_problem, 4), (sums.sum_drill, 12), (sums.comparison, 2), (sums.counting, 2),
    (facts.list_chat, 8), (facts.fact_chat, 8), (facts.fact_page, 3), (pages.page, 5),
    (objects.object_chat, 11), (objects.object_page, 1),
    (mixed_chat, 8), (long_chat, 2),
)  # fmt: skip

# Mostly chats; more of what is short and has to be exact, so that it counts beside the stories.
FINE_TUNING: Mixture = (
    (robot_story_document, 8), (stories.story_document, 8), (stories_zh.story_document, 5),
    (service_chat, 30), (service_page, 1), (instructed_chat, 6),
    (parlance_smalltalk, 8), (smalltalk.code_chat, 2), (tasks.fallback, 5), (tasks.task_chat, 5), (tasks.echo, 4),
    (sums.sum_chat, 14), (sums.word_problem, 5), (sums.sum_drill, 6), (sums.comparison, 2), (sums.counting, 2),
    (facts.list_chat, 14), (facts.fact_chat, 8), (facts.fact_page, 2), (pages.page, 4),
    (objects.object_chat, 16), (objects.object_page, 1),
    (mixed_chat, 10), (long_chat, 3),
)  # fmt: skip

# Most of all questions about the service: nothing else is asked in so many ways. And keys that have to
# be copied, which fine-tuning has half unlearned.
POLISHING: Mixture = (
    (robot_story_document, 9), (stories.story_document, 5), (stories_zh.story_document, 3),
    (service_chat, 44), (service_page, 2), (instructed_chat, 5),
    (parlance_smalltalk, 7), (smalltalk.code_chat, 2), (tasks.fallback, 2), (tasks.task_chat, 4), (tasks.echo, 3),
    (sums.sum_chat, 12), (sums.word_problem, 3), (sums.sum_drill, 4), (sums.comparison, 1), (sums.counting, 1),
    (facts.list_chat, 6), (chinese_list_chat, 8), (facts.fact_chat, 8), (pages.page, 3),
    (objects.object_chat, 12), (objects.any_keys_chat, 18), (mixed_chat, 10),
)  # fmt: skip
