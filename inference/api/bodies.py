"""What all request bodies have in common: strict types, and three kinds of fields we do not act on.

Unknown fields are accepted and named in `x-ignored-fields`, and so are hints that change nothing
here. Known fields we do not support are refused by name, but only when their value asks for
something. An explicit null is an absent field.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from inference.api.errors import from_validation
from inference.errors import ServiceError, invalid

Model = TypeVar("Model", bound="RequestBody")
AsksForNothing = Callable[[Any], bool]


class RequestBody(BaseModel):
    """Strict, and open to unknown fields."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    # Known fields that change nothing, each with a test for values that ask for nothing.
    without_effect: ClassVar[Mapping[str, AsksForNothing]] = {}

    def ignored_fields(self) -> list[str]:
        """What changes nothing, by its path: its own fields, then those of its parts."""
        kind, given = type(self), self.__pydantic_fields_set__
        found = [*(self.__pydantic_extra__ or ())]
        if kind.without_effect and not given.isdisjoint(kind.without_effect):
            found += self._in_vain(given)
        if found:
            found.sort()
        for name in _parts_of(kind):
            if name not in given:
                continue
            part = getattr(self, name)
            if isinstance(part, RequestBody):
                found += [f"{name}.{field}" for field in part.ignored_fields()]
            elif part:
                for place, each in enumerate(part):
                    if ignored := each.ignored_fields():
                        found += [f"{name}[{place}].{field}" for field in ignored]
        return found

    def _in_vain(self, given: set[str]) -> Iterator[str]:
        for name, asks_for_nothing in type(self).without_effect.items():
            if name in given:
                value = getattr(self, name)
                if value is not None and not asks_for_nothing(value):
                    yield name


@cache
def _parts_of(model: type[RequestBody]) -> tuple[str, ...]:
    """The fields that hold bodies, or lists of them."""
    return tuple(
        name for name, field in model.model_fields.items() if _holds_bodies(field.annotation)
    )


def _holds_bodies(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, RequestBody):
        return True
    return any(map(_holds_bodies, get_args(annotation)))


def ignored_in(parts: Any, field: str, known: Iterable[str]) -> Iterator[str]:
    """Paths of what changes nothing in a field's list of parts, which were looked at before."""
    if isinstance(parts, list):
        for place, part in enumerate(parts):
            for name in sorted(part.keys() - known):
                yield f"{field}[{place}].{name}"


def parse(
    model: type[Model],
    body: Mapping[str, Any],
    unsupported: Mapping[str, AsksForNothing] | None = None,
) -> Model:
    """The validated body. Raises ServiceError (400) naming the field."""
    present = _present(body)
    for name, asks_for_nothing in (unsupported or {}).items():
        if name in present and not asks_for_nothing(present.pop(name)):
            raise _unsupported(name)
    return _validate(model, present, ())


def parse_part(model: type[Model], part: Any, *place: str | int) -> Model:
    """The validated object at a path inside a body. Raises ServiceError (400) naming the field."""
    return _validate(model, _present(part) if isinstance(part, dict) else part, place)


def _present(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _validate(model: type[Model], body: Any, place: tuple[str | int, ...]) -> Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise from_validation(problems, place) from None


def _unsupported(name: str) -> ServiceError:
    message = f"'{name}' is not supported by this server yet."
    if name in INSTEAD:
        message = f"'{name}' is not supported here; use '{INSTEAD[name]}'."
    if name == "thread":  # Anthropic's library then sends the whole conversation by itself
        return invalid(message, name, "thread_unsupported_request")
    return invalid(message, name, "unsupported_parameter")


def one_of(*harmless: Any) -> AsksForNothing:
    """Asks for nothing with one of these values."""
    # By type too: in Python, False is 0 and 1.0 is 1.
    return lambda value: any(type(value) is type(item) and value == item for item in harmless)


def _never(_value: Any) -> bool:
    return False


def _empty_but(**harmless: Any) -> AsksForNothing:
    """An object of nulls, but for these fields' harmless values."""
    return lambda value: (
        isinstance(value, dict)
        and all(
            item is None or (name in harmless and item == harmless[name])
            for name, item in value.items()
        )
    )


NOTHING = one_of([], {}, "", False)
# Older names of what we do, and other ways to it.
INSTEAD = {
    "functions": "tools",
    "function_call": "tool_choice",
    "guided_json": "structured_outputs",
    "guided_regex": "structured_outputs",
    "guided_choice": "structured_outputs",
    "guided_grammar": "structured_outputs",
    "output_format": "output_config.format",
    "thread": "messages",
    "max_output_tokens": "max_completion_tokens",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "messages": "input",
    "response_format": "text.format",
}
# Known fields we do not act on, each with a test for values that ask for nothing.
_GUIDED: Mapping[str, AsksForNothing] = {
    name: _never for name in INSTEAD if name.startswith("guided_")
}
CHAT_UNSUPPORTED: Mapping[str, AsksForNothing] = {
    **_GUIDED,
    "functions": NOTHING,
    "function_call": one_of("none", "auto"),
    "modalities": one_of(["text"]),
    "audio": NOTHING,
    "max_output_tokens": _never,  # of responses: unheard, the answer would have no limit
    "prediction": NOTHING,
    "web_search_options": _never,
    "reasoning_effort": one_of("none"),
    "verbosity": one_of("medium"),
    "moderation": NOTHING,
}
RESPONSES_UNSUPPORTED: Mapping[str, AsksForNothing] = {
    "background": NOTHING,
    "context_management": NOTHING,
    "conversation": NOTHING,
    "max_completion_tokens": _never,  # of chat, as are others here: OpenAI refuses them, too
    "max_tokens": _never,
    "max_tool_calls": _never,
    "messages": _never,
    "moderation": NOTHING,
    "prompt": NOTHING,
    "reasoning": _empty_but(effort="none"),
    "response_format": one_of({"type": "text"}),
    "top_logprobs": one_of(0),
    "truncation": one_of("disabled"),
}
MESSAGES_UNSUPPORTED: Mapping[str, AsksForNothing] = {
    "billing_policy": _empty_but(type="billing_policy", bill_to="self"),
    "compaction": _never,
    "container": NOTHING,
    "context_management": NOTHING,
    "diagnostics": NOTHING,
    "fallback_credit_token": NOTHING,
    "fallbacks": one_of([], "default"),
    "inference_geo": _never,
    "mcp_servers": NOTHING,
    "output_format": NOTHING,
    "prefill": NOTHING,
    "speed": one_of("standard"),
    "thinking": one_of({"type": "disabled"}),
    "thread": _never,
    "user_profile_id": _never,
    "workspace_id": _never,
}
# Of vLLM's: they would change the ids that are told.
TOKENIZE_UNSUPPORTED: Mapping[str, AsksForNothing] = {
    "chat_template": NOTHING,
    "chat_template_kwargs": NOTHING,
    "continue_final_message": NOTHING,
    "mm_processor_kwargs": NOTHING,
}
COMPLETION_UNSUPPORTED: Mapping[str, AsksForNothing] = {**_GUIDED, "suffix": NOTHING}
