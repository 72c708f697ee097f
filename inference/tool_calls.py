"""Reads calls of tools out of a model's text while it comes.

The text keeps to the grammar that `tool_formats.calls_grammar` made, so what begins a call is
found by its letters alone, and its arguments end where their outermost brace closes. Text that
may turn out to begin a call is held back until it is decided.
"""

import re
from dataclasses import dataclass
from typing import Literal

from inference.engine.tool_formats import NAME, Lead, ToolFormat


@dataclass(frozen=True, slots=True)
class Said:
    """Text for the reader, before any call."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegun:
    """A tool is called; its arguments follow."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class ArgumentsPart:
    """More of the JSON text of a call's arguments."""

    index: int
    text: str


Part = Said | CallBegun | ArgumentsPart


class CallReader:
    """The parts of one answer."""

    def __init__(self, form: ToolFormat, *, required: bool, beside_json: bool = False) -> None:
        """Read a text of this form; `required`: it begins with a call.

        `beside_json`: a text without calls is JSON.
        """
        self._lead = Lead(form, beside_json=beside_json)
        pattern = re.escape(form.head).replace(NAME, r"([A-Za-z0-9_-]+)")
        self._head = re.compile(pattern + r"\s*(?=\{)")
        self._state: Literal["said", "between", "arguments"] = "between" if required else "said"
        self._held = ""
        self._depth = 0  # of braces and brackets in the arguments
        self._in_string = False
        self._escaped = False
        self.num_calls = 0

    @property
    def ended_well(self) -> bool:
        """Whether tools were called, and the last call is complete."""
        return self.num_calls > 0 and self._state == "between"

    def feed(self, text: str) -> list[Part]:
        """Take more of the text; return what became decided."""
        parts: list[Part] = []
        self._held += text
        while self._held:
            before = len(self._held), self._state
            step = {
                "said": self._read_said,
                "between": self._read_head,
                "arguments": self._read_arguments,
            }[self._state]
            parts += step()
            if (len(self._held), self._state) == before:
                break
        return parts

    def flush(self) -> list[Part]:
        """The text has ended: return what was held back."""
        held = self._lead.flush()
        return [Said(held)] if held else []

    def _read_said(self) -> list[Part]:
        said, self._held = self._lead.feed(self._held)
        if self._lead.called:
            self._state = "between"
        return [Said(said)] if said else []

    def _read_head(self) -> list[Part]:
        found = self._head.search(self._held)
        if found is None:
            return []
        self._held = self._held[found.end() :]
        self._state = "arguments"
        self.num_calls += 1
        return [CallBegun(self.num_calls - 1, found[1])]

    def _read_arguments(self) -> list[Part]:
        end = self._scan()
        text, self._held = self._held[:end], self._held[end:]
        return [ArgumentsPart(self.num_calls - 1, text)] if text else []

    def _scan(self) -> int:
        """Return where the arguments end, or the whole length while they go on."""
        for place, char in enumerate(self._held):
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = char == "\\"
                self._in_string = char != '"'
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self._state = "between"
                    return place + 1
        return len(self._held)
