"""What a model says in one answer: text, and calls of tools, in the form of no API."""

from inference.generation import Generation
from inference.spec import TextDelta
from inference.tool_calls import CallReader, Part, Said
from inference.tool_prompts import format_of


class AnswerReader:
    """Turns the deltas of one answer into what it gains by each."""

    def __init__(self, generation: Generation) -> None:
        use = generation.spec.tool_use
        self._calls: CallReader | None = None
        if use is not None:
            form = format_of(generation.tool_format)
            has_form = generation.spec.constraint is not None
            self._calls = CallReader(form, required=use.required, beside_json=has_form)

    def parts(self, delta: TextDelta) -> list[Part]:
        """The parts this delta completes or goes on with, in their order."""
        if self._calls is None:
            return [Said(delta.text)] if delta.text else []
        parts = self._calls.feed(delta.text)
        if delta.finish_reason:
            parts += self._calls.flush()
        return parts

    @property
    def may_call(self) -> bool:
        return self._calls is not None

    @property
    def called_well(self) -> bool:
        """Whether tools were called, and the last call is complete."""
        return self._calls is not None and self._calls.ended_well

    def ended_for_calls(self, finish_reason: str | None) -> bool:
        """Whether the answer ended since its calls are to be answered."""
        return self.called_well and finish_reason == "stop"
