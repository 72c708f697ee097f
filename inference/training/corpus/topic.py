"""What a question about the service is about: ways to ask, ways to answer, and the fact of it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """`facts`: one of these must be in any answer; `{S}` stands for the service's name."""

    name: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    facts: tuple[str, ...]


@dataclass(frozen=True)
class Further:
    """More questions and answers for a topic that is told elsewhere."""

    questions: tuple[str, ...]
    answers: tuple[str, ...] = ()


def enlarged(topics: tuple[Topic, ...], further: Mapping[str, Further]) -> tuple[Topic, ...]:
    """The topics with what `further` has for their names."""
    return tuple(
        Topic(
            topic.name,
            topic.questions + more.questions,
            topic.answers + more.answers,
            topic.facts,
        )
        for topic in topics
        for more in [further.get(topic.name, Further(()))]
    )
