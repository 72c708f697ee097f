# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Chats in which a system message, or the question itself, says how to answer: briefly, or in which language."""

import random
import re

from inference.training.corpus import service_en, service_zh, smalltalk
from inference.training.corpus.facts import fact_exchange
from inference.training.documents import Document, chat
from inference.training.grammar import one

BRIEF = ("Answer briefly.", "Be brief.", "Keep your answers short.", "Answer in one sentence.", "You are a helpful assistant. Answer briefly.", "Reply in one short sentence.")
CHINESE = ("Answer in Chinese.", "Always answer in Chinese.", "请用中文回答。", "You are a helpful assistant. Reply in Chinese.", "只用中文回答。")
ENGLISH = ("Answer in English.", "Always reply in English.", "请用英文回答。", "You are a helpful assistant. Answer in English.")
_FIRST_SENTENCE = re.compile(r".+?[.!?。！？](?=\s|[A-Z\u4e00-\u9fff]|$)", re.DOTALL)


def first_sentence(text: str) -> str:
    found = _FIRST_SENTENCE.match(text)
    return found[0] if found else text


def instructed_chat(rng: random.Random) -> Document:
    return rng.choice((brief_chat, other_language_chat, other_language_chat, fact_in_style))(rng)


def brief_chat(rng: random.Random) -> Document:
    """The first sentence of the usual answer. Code is left alone: half a block is worth nothing."""
    language = rng.choice(("en", "zh"))
    topics = service_en.TOPICS if language == "en" else service_zh.TOPICS
    topic = rng.choice([topic for topic in topics if "```" not in topic.answers[0]])
    slots = {"S": "Parlance"}
    question = one(rng, topic.questions, slots)
    answer = first_sentence(one(rng, topic.answers, slots))
    if rng.random() < 0.3:
        suffix = " Answer [briefly|in one sentence]." if language == "en" else "[请简短回答。|用一句话回答。]"
        asked = question + one(rng, (suffix,))
        return chat("service", language, [(asked, answer)], f"service:{topic.name}:{question}")
    system = rng.choice(BRIEF if language == "en" else (*BRIEF, "请简短回答。", "请简短回答。"))
    return chat("service", language, [(question, answer)], f"service:{topic.name}:{question}", system=system)


def other_language_chat(rng: random.Random) -> Document:
    """Asked in one language, answered in the other."""
    asked, answered, systems = rng.choice((
        (service_en.TOPICS, service_zh.TOPICS, CHINESE), (service_zh.TOPICS, service_en.TOPICS, ENGLISH),
    ))  # fmt: skip
    answers = {topic.name: topic.answers for topic in answered}
    topic = rng.choice([topic for topic in asked if topic.name in answers])
    slots = {"S": "Parlance"}
    question = one(rng, topic.questions, slots)
    answer = one(rng, answers[topic.name], slots)
    exchanges = [(question, answer)]
    if rng.random() < 0.3:
        greetings = smalltalk.GREETINGS if asked is service_en.TOPICS else smalltalk.ZH_GREETINGS
        hello, _ = smalltalk.exchange_from(rng, greetings[:1], "Parlance")
        reply = "你好！有什么可以帮你的吗？" if answered is service_zh.TOPICS else "Hello! How can I help you?"
        exchanges.insert(0, (hello, reply))
    return chat("service", "zh", exchanges, f"service:{topic.name}:{question}", system=rng.choice(systems))


def fact_in_style(rng: random.Random) -> Document:
    """A fact under a plain system message."""
    language, question, answer = fact_exchange(rng)
    system = rng.choice(("You are a helpful assistant.", "You are a teacher.", "You are a friendly teacher for children.", "Answer the question."))
    return chat("fact", language, [(question, answer)], system=system)
