"""What all request bodies have in common: strict types, and three kinds of fields we do not act on.

Unknown fields are accepted and named in `x-ignored-fields`. Known fields we do not support are
refused by name, but only when their value asks for something. An explicit null is an absent field.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from inference.api.errors import from_validation
from inference.errors import ServiceError, invalid

Model = TypeVar("Model", bound="RequestBody")
AsksForNothing = Callable[[Any], bool]


class RequestBody(BaseModel):
    """Strict, and open to unknown fields."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    def ignored_fields(self) -> list[str]:
        return sorted(self.model_extra or ())


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
    message = f"'{name}' is not supported by this server"
    message += f"; use '{INSTEAD[name]}'." if name in INSTEAD else " yet."
    return invalid(message, name, "unsupported_parameter")


def _one_of(*harmless: Any) -> AsksForNothing:
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


_NOTHING = _one_of([], {}, "", False)
# Older names of what we do.
INSTEAD = {
    "functions": "tools",
    "function_call": "tool_choice",
    "guided_json": "structured_outputs",
    "guided_regex": "structured_outputs",
    "guided_choice": "structured_outputs",
    "guided_grammar": "structured_outputs",
    "output_format": "output_config.format",
}
# Known fields we do not act on, each with a test for values that ask for nothing.
_GUIDED: Mapping[str, AsksForNothing] = {
    name: _never for name in INSTEAD if name.startswith("guided_")
}
CHAT_UNSUPPORTED: Mapping[str, AsksForNothing] = {
    **_GUIDED,
    "functions": _NOTHING,
    "function_call": _one_of("none", "auto"),
    "modalities": _one_of(["text"]),
    "audio": _NOTHING,
    "prediction": _NOTHING,
    "web_search_options": _never,
    "reasoning_effort": _one_of("none"),
    "verbosity": _one_of("medium"),
    "moderation": _NOTHING,
}
RESPONSES_UNSUPPORTED: Mapping[str, AsksForNothing] = {
    "background": _NOTHING,
    "context_management": _NOTHING,
    "conversation": _NOTHING,
    "max_tool_calls": _never,
    "moderation": _NOTHING,
    "prompt": _NOTHING,
    "reasoning": _empty_but(effort="none"),
    "top_logprobs": _one_of(0),
    "truncation": _one_of("disabled"),
}
MESSAGES_UNSUPPORTED: Mapping[str, AsksForNothing] = {
    "container": _NOTHING,
    "context_management": _NOTHING,
    "diagnostics": _NOTHING,
    "inference_geo": _never,
    "mcp_servers": _NOTHING,
    "output_format": _NOTHING,
    "prefill": _NOTHING,
    "speed": _one_of("standard"),
    "thinking": _one_of({"type": "disabled"}),
    "user_profile_id": _never,
    "workspace_id": _never,
}
# Of vLLM's: they would change the ids that are told.
TOKENIZE_UNSUPPORTED: Mapping[str, AsksForNothing] = {
    "chat_template": _NOTHING,
    "chat_template_kwargs": _NOTHING,
    "continue_final_message": _NOTHING,
    "mm_processor_kwargs": _NOTHING,
}
COMPLETION_UNSUPPORTED: Mapping[str, AsksForNothing] = {**_GUIDED, "suffix": _NOTHING}
