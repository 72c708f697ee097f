"""What a request may say: strict types, and three kinds of fields we do not act on.

Unknown fields are accepted and named in `x-ignored-fields`. Known fields we do not support are
refused by name, but only when their value asks for something. An explicit null is an absent field.
"""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from inference.api.errors import from_validation
from inference.engine.params import SamplingParams
from inference.errors import ServiceError, invalid
from inference.spec import ChatMessage

MAX_STOP_CHARS = 256
MAX_BIASED_TOKENS = 1024
MAX_METADATA_PAIRS = 16
_INT64 = 2**63

Model = TypeVar("Model", bound="RequestBody")


def _check_stop(value: Any) -> list[str]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise ValueError("it must be a string or a list of strings")
    for stop in stops:
        if not stop:
            raise ValueError("a stop sequence must not be empty")
        if len(stop) > MAX_STOP_CHARS:
            raise ValueError(f"a stop sequence has at most {MAX_STOP_CHARS} characters")
    return stops


def _check_logit_bias(value: dict[str, float]) -> dict[str, float]:
    if len(value) > MAX_BIASED_TOKENS:
        raise ValueError(f"it has at most {MAX_BIASED_TOKENS} entries")
    for token_id, bias in value.items():
        if not (token_id.isascii() and token_id.isdigit() and len(token_id) < 10):
            raise ValueError("its keys must be token ids, such as '50256'")
        if not -100 <= bias <= 100:
            raise ValueError("its values must be between -100 and 100")
    return value


def _check_metadata(value: dict[str, str]) -> dict[str, str]:
    if len(value) > MAX_METADATA_PAIRS:
        raise ValueError(f"it has at most {MAX_METADATA_PAIRS} pairs")
    for key, text in value.items():
        if len(key) > 64 or len(text) > 512:
            raise ValueError("keys have at most 64 characters, values 512")
    return value


class RequestBody(BaseModel):
    """Strict, and open to unknown fields."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    def ignored_fields(self) -> list[str]:
        return sorted(self.model_extra or ())


class StreamOptions(RequestBody):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None


class SamplingBody(RequestBody):
    """The fields that chat and completions share."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    n: Annotated[int, Field(ge=1, le=128)] = 1
    seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    stop: Annotated[Any, AfterValidator(_check_stop)] = []
    stop_token_ids: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**31)]], Field(max_length=128)
    ] = []
    logit_bias: Annotated[dict[str, float], AfterValidator(_check_logit_bias)] = {}
    min_tokens: Annotated[int, Field(ge=0, lt=2**31)] = 0
    ignore_eos: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None
    metadata: Annotated[dict[str, str], AfterValidator(_check_metadata)] = {}
    service_tier: str | None = None
    store: bool | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None

    def sampling(
        self, max_tokens: int | None, logprobs: int | None, *, prompt_logprobs: int | None = None
    ) -> SamplingParams:
        """Raises ServiceError when parameters contradict each other."""
        if max_tokens is not None and self.min_tokens > max_tokens:
            raise invalid("'min_tokens' must not be above 'max_tokens'.", "min_tokens")
        return SamplingParams(
            max_tokens=max(self.min_tokens, 1) if max_tokens is None else max_tokens,
            min_tokens=self.min_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(self.top_k, 0),
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            seed=self.seed,
            stop=tuple(self.stop),
            stop_token_ids=tuple(self.stop_token_ids),
            ignore_eos=self.ignore_eos,
            logprobs=logprobs,
            prompt_logprobs=prompt_logprobs,
            logit_bias=tuple((int(token), bias) for token, bias in self.logit_bias.items()),
        )

    @property
    def is_batch(self) -> bool:
        """Whether it may wait behind others: what OpenAI calls the flex tier."""
        return self.service_tier == "flex"

    def check_stream_options(self) -> None:
        if self.stream_options is not None and not self.stream:
            message = "'stream_options' is only allowed when 'stream' is true."
            raise invalid(message, "stream_options")

    def check_stops(self, most: int) -> None:
        if len(self.stop) > most:
            raise invalid(f"Invalid value for 'stop': at most {most} sequences.", "stop")


class Message(RequestBody):
    """One message of a conversation; what templates may want beside the text is kept as JSON."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Any = None
    name: Annotated[str, Field(max_length=64)] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    def to_chat_message(self, index: int) -> ChatMessage:
        """Raises ServiceError naming the part that is not text."""
        extra = {
            name: value
            for name in ("tool_calls", "tool_call_id")
            if (value := getattr(self, name)) is not None
        }
        return ChatMessage(
            role=self.role,
            content=self._text(f"messages[{index}].content"),
            name=self.name or "",
            extra_json=json.dumps(extra) if extra else "",
        )

    def _text(self, param: str) -> str:
        if isinstance(self.content, str):
            return self.content
        if self.content is None and self.role in {"assistant", "function"}:
            return ""
        if not isinstance(self.content, list) or not self.content:
            message = f"Invalid type for '{param}': it must be a string or a list of parts."
            raise invalid(message, param, "invalid_type")
        return "".join(_part_text(part, f"{param}[{i}]") for i, part in enumerate(self.content))


def _part_text(part: Any, param: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    field = {"text": "text", "refusal": "refusal"}.get(kind) if isinstance(kind, str) else None
    if field is None:
        message = f"Invalid value for '{param}.type': only parts of type 'text' are supported."
        raise invalid(message, f"{param}.type", "invalid_value")
    text = part.get(field)
    if not isinstance(text, str):
        message = f"Invalid type for '{param}.{field}': it must be a string."
        raise invalid(message, f"{param}.{field}", "invalid_type")
    return text


class ChatBody(SamplingBody):
    messages: Annotated[list[Message], Field(min_length=1, max_length=2048)]
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None

    def token_limit(self) -> int | None:
        """`max_completion_tokens`, or its older name."""
        if self.max_completion_tokens is None:
            return self.max_tokens
        if self.max_tokens not in {None, self.max_completion_tokens}:
            message = "'max_tokens' and 'max_completion_tokens' contradict each other."
            raise invalid(message, "max_tokens")
        return self.max_completion_tokens

    def num_logprobs(self) -> int | None:
        if self.top_logprobs is not None and not self.logprobs:
            message = "'top_logprobs' is only allowed when 'logprobs' is true."
            raise invalid(message, "top_logprobs")
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionBody(SamplingBody):
    prompt: Any = None
    max_tokens: Annotated[int, Field(ge=0, lt=2**31)] = 16
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: bool = False
    best_of: Annotated[int, Field(ge=1, le=20)] | None = None

    def check_best_of(self) -> int | None:
        if self.best_of is None:
            return None
        if self.stream and self.best_of > 1:
            raise invalid("'best_of' cannot be streamed.", "best_of")
        if self.best_of < self.n:
            raise invalid("'best_of' must not be below 'n'.", "best_of")
        return self.best_of


class TokenizeBody(RequestBody):
    model: Annotated[str, Field(max_length=200)] = ""
    prompt: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=2048)] | None = None
    add_generation_prompt: bool = True
    return_token_strs: bool = False
    add_special_tokens: bool | None = None


class DetokenizeBody(RequestBody):
    model: Annotated[str, Field(max_length=200)] = ""
    tokens: list[Annotated[int, Field(ge=0, lt=2**31)]]


def _is_plain_text(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "text"


def _one_of(*harmless: Any) -> Callable[[Any], bool]:
    # By type too: in Python, False is 0 and 1.0 is 1.
    return lambda value: any(type(value) is type(item) and value == item for item in harmless)


_NOTHING = _one_of([], {}, "", False)

# Known fields we do not act on yet, each with a test for values that ask for nothing.
CHAT_UNSUPPORTED: Mapping[str, Callable[[Any], bool]] = {
    "tools": _NOTHING,
    "tool_choice": _one_of("none", "auto"),
    "functions": _NOTHING,
    "function_call": _one_of("none", "auto"),
    "response_format": _is_plain_text,
    "modalities": _one_of(["text"]),
    "audio": _NOTHING,
    "prediction": _NOTHING,
    "web_search_options": lambda _value: False,
    "reasoning_effort": _one_of("none"),
    "verbosity": _one_of("medium"),
    "moderation": _NOTHING,
}
COMPLETION_UNSUPPORTED: Mapping[str, Callable[[Any], bool]] = {"suffix": _NOTHING}


def parse(
    model: type[Model],
    body: Mapping[str, Any],
    unsupported: Mapping[str, Callable[[Any], bool]] | None = None,
) -> Model:
    """The validated body. Raises ServiceError (400) naming the field."""
    present = {name: value for name, value in body.items() if value is not None}
    for name, asks_for_nothing in (unsupported or {}).items():
        if name in present and not asks_for_nothing(present.pop(name)):
            raise _unsupported(name)
    try:
        return model.model_validate(present)
    except ValidationError as error:
        raise from_validation(error.errors(include_url=False, include_input=False)) from None


def _unsupported(name: str) -> ServiceError:
    message = f"'{name}' is not supported by this server yet."
    return invalid(message, name, "unsupported_parameter")
