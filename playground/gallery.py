"""Ready presets, by what people want to do first: each can be run as it stands."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

# What the page fills in: a pane's settings, the text to send, and values of variables in it.
Example = dict[str, Any]


def gallery() -> list[Example]:
    """In the reader's language. `group` is a heading; examples of one group stand together."""
    return [*_writing(), *_reading(), *_working()]


def _writing() -> list[Example]:
    group = _("Stories and articles")
    return [
        _example(
            group,
            _("A short story"),
            _("Tell a short story about {{hero}} who {{quest}}."),
            variables={"hero": _("a robot"), "quest": _("learns to paint")},
            parameters={"temperature": 1.1, "max_tokens": 600},
        ),
        _example(
            group,
            _("An article from notes"),
            _("Write an article of three paragraphs from these notes:\n\n{{notes}}"),
            system=_("You write clearly and plainly, for readers in a hurry."),
            variables={"notes": _("bees, cities, roof gardens, more honey than in the country")},
        ),
    ]


def _reading() -> list[Example]:
    return [
        _example(
            _("Question answering"),
            _("Answer from a text"),
            _("{{text}}\n\nQuestion: {{question}}"),
            system=_("Answer from the text alone. Say so when it does not hold the answer."),
            variables={
                "text": _("The museum opens at ten, and on Thursdays it closes at nine."),
                "question": _("How long can I stay on a Thursday?"),
            },
            parameters={"temperature": 0},
        ),
        _example(
            _("Summaries"),
            _("Three sentences"),
            _("Summarise this in three sentences:\n\n{{text}}"),
            variables={"text": _("Paste a long text here.")},
            parameters={"temperature": 0.3},
        ),
        _example(
            _("Translation"),
            _("Into another language"),
            "{{text}}",
            system=_("Translate what the user writes into {{language}}. Answer with that alone."),
            variables={"language": _("French"), "text": _("Good morning! Did you sleep well?")},
            parameters={"temperature": 0},
        ),
    ]


def _working() -> list[Example]:
    person = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "company": {"type": "string"},
            "phone": {"type": "string"},
        },
        "required": ["name", "company", "phone"],
        "additionalProperties": False,
    }
    form = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": person, "strict": True},
    }
    return [
        _example(
            pgettext("of programs", "Code"),
            _("A function with a test"),
            _("Write a function in {{language}} that {{task}}, and a test of it."),
            variables={"language": "Python", "task": _("finds the longest word of a text")},
            parameters={"temperature": 0.2},
        ),
        _example(
            _("Data extraction"),
            _("A contact as JSON"),
            _("Extract the contact:\n\n{{text}}"),
            variables={"text": _("Call Mei Chen of Blue Harbour on 020 7946 0018.")},
            parameters={"temperature": 0, "response_format": form},
        ),
    ]


def _example(
    group: str,
    title: str,
    text: str,
    *,
    system: str = "",
    variables: dict[str, str] | None = None,
    parameters: dict[str, Any] | None = None,
) -> Example:
    return {
        "group": group,
        "title": title,
        "text": text,
        "system": system,
        "variables": variables or {},
        "parameters": parameters or {},
    }
