"""How families of models write calls of tools, each as one row of a table.

Shared by both sides: the engine tells a model's family by its chat template and writes out the
special tokens that calls are made of; the web side makes the grammar of calls and reads them. A
model whose template knows no tools, or writes their calls in a form not known here, is told of
its tools in a system message and calls them as Hermes does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from inference.engine.lark import literal

NAME = "NAME"  # in `head`, where the tool's name stands


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """One family's form. `first`, `following` and `last` are Lark, the others plain text.

    A text with calls is: `trigger first CALL (following CALL)* last`, with free text before it
    unless `whole`; a CALL is: head, arguments (a JSON object), tail.
    """

    name: str
    marks: tuple[str, ...]  # in the chat templates of this family, all of them
    strange: tuple[str, ...]  # in those of others that share its marks
    trigger: str  # in free text, what begins the calls
    first: str
    head: str
    tail: str
    following: str
    last: str
    whole: bool = False  # calls are the whole text, and their trigger may be left out
    short_ids: bool = False  # the template insists on ids of nine letters and digits
    single: bool = False  # the template refuses a message with several calls


HERMES = ToolFormat(  # Hermes 2 and 3, Qwen 2.5 and 3
    name="hermes",
    marks=("<tool_call>", "arguments"),
    strange=("<function=", "<arg_key>"),
    trigger="<tool_call>",
    first='"\\n"',
    head='{"name": "NAME", "arguments": ',
    tail="}",
    following='"\\n</tool_call>\\n<tool_call>\\n"',
    last='"\\n</tool_call>"',
)
LLAMA = ToolFormat(  # Llama 3.1 to 3.3
    name="llama",
    marks=("<|start_header_id|>", '"parameters": '),
    strange=(),
    trigger="<|python_tag|>",
    first="",
    head='{"name": "NAME", "parameters": ',
    tail="}",
    following='"; "',
    last="",
    whole=True,
    single=True,
)
MISTRAL = ToolFormat(  # Mistral 0.3, Nemo, Small, Large
    name="mistral",
    marks=("[TOOL_CALLS]",),
    strange=("[ARGS]",),
    trigger="[TOOL_CALLS]",
    first='" "? "["',
    head='{"name": "NAME", "arguments": ',
    tail="}",
    following='", "',
    last='"]"',
    short_ids=True,
)
MISTRAL_ARGS = ToolFormat(  # Mistral Small 3.1 and later, Magistral, Devstral
    name="mistral-args",
    marks=("[TOOL_CALLS]", "[ARGS]"),
    strange=(),
    trigger="[TOOL_CALLS]",
    first="",
    head="NAME[ARGS]",
    tail="",
    following='"[TOOL_CALLS]"',
    last="",
    short_ids=True,
)
FORMATS = {form.name: form for form in (HERMES, LLAMA, MISTRAL, MISTRAL_ARGS)}


def find_format(template: str) -> ToolFormat | None:
    """Return the family of a chat template; None when it knows no tools, or is of another."""
    if "tools" not in template:
        return None
    for form in FORMATS.values():
        if all(mark in template for mark in form.marks) and not any(
            mark in template for mark in form.strange
        ):
            return form
    return None


class Lead:
    """Cuts a text, as it comes, into what is said and, from their trigger on, the calls."""

    def __init__(self, form: ToolFormat, *, beside_json: bool = False) -> None:
        """Expect text of this form; `beside_json`: a text without calls is JSON."""
        self._form = form
        self._beside_json = beside_json
        self._held = ""  # may turn out to begin a call
        self._plain = False  # a whole text, and no call
        self.called = False

    def feed(self, text: str) -> tuple[str, str]:
        """Take more of the text; return what of it is said for certain, and what is of calls."""
        if self.called:
            return "", text
        if self._plain:
            return text, ""
        text, self._held = self._held + text, ""
        trigger = self._form.trigger
        if self._form.whole or self._beside_json:
            begins = trigger if self._beside_json else ("{", trigger)
            self.called = text.startswith(begins)
            self._plain = not self.called and not trigger.startswith(text)
            place = len(text) if self._plain else 0
        else:
            place = text.find(trigger)
            self.called = place >= 0
            if not self.called:
                place = len(text) - _overlap(text, trigger)
        if self.called:
            return text[:place], text[place:]
        self._held = text[place:]
        return text[:place], ""

    @property
    def num_held(self) -> int:
        """Characters that may turn out to begin a call."""
        return len(self._held)

    def flush(self) -> str:
        """The text has ended: return what was held back."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, trigger: str) -> int:
    """Return how many characters at the end of a text may begin the trigger."""
    longest = min(len(text), len(trigger) - 1)
    return next((n for n in range(longest, 0, -1) if trigger.startswith(text[-n:])), 0)


def calls_grammar(
    form: ToolFormat,
    tools: Sequence[tuple[str, str]],
    *,
    required: bool,
    parallel: bool,
    json: str | None = None,
) -> str:
    """Return the Lark grammar of texts that call tools, each given as its name and Lark rule.

    Not `required`: a text without calls is one, too, of which `json` is the rule if it has one. No
    JSON begins as a trigger does. Not `parallel`: there is one call at most.
    """
    more = f"({form.following} call)*" if parallel else ""
    calls = f"{form.first} call {more} {form.last}"
    trigger = literal(form.trigger)
    if json is not None:
        start, text = f"said | {trigger} {calls}", f"said: {json}"
    elif form.whole:
        start = f"{trigger}? {calls}" if required else f"TEXT | {trigger}? {calls}"
        text = f"TEXT: /([^{{](.|\\n)*)?/ & ~({trigger} /(.|\\n)*/)"
    else:
        start = f"{trigger} {calls}" if required else f"TEXT | lead {calls}"
        text = f"lead[lazy]: TEXT {trigger}\nTEXT: /(.|\\n)*/"
    rules = [f"start: {start}"]
    if not required:
        rules.append(text)
    heads = (
        f"{literal(form.head.replace(NAME, name))} arguments{number} {_literal_or_nothing(form)}"
        for number, (name, _) in enumerate(tools)
    )
    rules.append(f"call: {' | '.join(heads)}")
    rules += [f"arguments{number}: {rule}" for number, (_, rule) in enumerate(tools)]
    return "\n".join(rules) + "\n"


def _literal_or_nothing(form: ToolFormat) -> str:
    return literal(form.tail) if form.tail else ""
