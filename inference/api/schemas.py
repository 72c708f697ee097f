"""The bodies of the endpoints, field by field."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from inference.api.bodies import NOTHING, RequestBody, one_of
from inference.api.chat_messages import Message
from inference.api.formats import ResponseFormat, StructuredOutputs
from inference.api.tools import ToolBody
from inference.engine.params import SamplingParams
from inference.errors import invalid
from inference.spec import Constraint
from inference.tool_choice import MAX_TOOLS

MAX_STOP_CHARS = 256
MAX_BIASED_TOKENS = 1024
TOKEN_ID = re.compile("(0|[1-9][0-9]{0,8})")
MAX_METADATA_PAIRS = 16
_INT64 = 2**63
# Every prompt's beginning is cached, as long as there is room.
CACHING = {"prompt_cache_retention": one_of("in_memory"), "prompt_cache_options": NOTHING}


def check_stop(value: Any) -> list[str]:
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
        # Spelt in one way: "7" and "07" would be two biases of one token.
        if TOKEN_ID.fullmatch(token_id) is None:
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


# What the published schema says of fields that are looked at by functions above and elsewhere.
STOP = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARS}
Stop = Annotated[
    Any,
    AfterValidator(check_stop),
    WithJsonSchema({"anyOf": [STOP, {"type": "array", "items": STOP}]}),
]
LogitBias = Annotated[
    dict[str, float],
    AfterValidator(_check_logit_bias),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_BIASED_TOKENS,
            "propertyNames": {"pattern": f"^{TOKEN_ID.pattern}$"},
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
        }
    ),
]
Metadata = Annotated[
    dict[str, str],
    AfterValidator(_check_metadata),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_METADATA_PAIRS,
            "propertyNames": {"maxLength": 64},
            "additionalProperties": {"type": "string", "maxLength": 512},
        }
    ),
]
_TOKEN_IDS = {
    "type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
}  # fmt: skip
_TEXTS = ({"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}})
_IDS = (_TOKEN_IDS, {"type": "array", "minItems": 1, "items": _TOKEN_IDS})
# Read by `inputs.py`.
Texts = Annotated[Any, WithJsonSchema({"anyOf": [*_TEXTS]})]
TextsOrIds = Annotated[Any, WithJsonSchema({"anyOf": [*_TEXTS, *_IDS]})]
ToolChoice = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["none", "auto", "required"]},
                {
                    "type": "object",
                    "properties": {"type": {"enum": ["function", "allowed_tools"]}},
                    "required": ["type"],
                },
            ]
        }
    ),
]


class StreamOptions(RequestBody):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None

    without_effect = {"include_obfuscation": one_of(False)}


class BilledBody(RequestBody):
    """What every endpoint takes whose requests are billed."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    user: str | None = None
    metadata: Metadata = {}
    service_tier: str | None = None

    without_effect = {"service_tier": one_of("auto", "default", "flex", "standard_only")}

    @property
    def is_batch(self) -> bool:
        """Whether it may wait behind others: what OpenAI calls the flex tier."""
        return self.service_tier == "flex"


class SamplingBody(BilledBody):
    """How tokens are drawn, and what else every endpoint that generates takes."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Field(ge=0.01, le=10)] = 1.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    stop: Stop = []
    stop_token_ids: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**31)]], Field(max_length=128)
    ] = []
    logit_bias: LogitBias = {}
    min_tokens: Annotated[int, Field(ge=0, lt=2**31)] = 0
    ignore_eos: bool = False
    stream: bool = False
    store: bool | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None

    without_effect = {**BilledBody.without_effect, "store": one_of(False)}

    def sampling(
        self, max_tokens: int | None, logprobs: int | None, *, prompt_logprobs: int | None = None
    ) -> SamplingParams:
        """Raises ServiceError when parameters contradict each other."""
        if max_tokens is not None and self.min_tokens > max_tokens:
            message = f"'min_tokens' must not be above the limit of {max_tokens:,} tokens."
            raise invalid(message, "min_tokens")
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

    def check_stops(self, most: int) -> None:
        if len(self.stop) > most:
            raise invalid(f"Invalid value for 'stop': at most {most} sequences.", "stop")


class ChoicesBody(SamplingBody):
    """The fields that chat and completions share."""

    n: Annotated[int, Field(ge=1, le=128)] = 1
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None

    def constraint(self) -> Constraint | None:
        """What the text has to be. Raises ServiceError when two fields say it."""
        wanted = None if self.response_format is None else self.response_format.constraint()
        if self.structured_outputs is None:
            return wanted
        if wanted is not None:
            message = "'structured_outputs' cannot be combined with 'response_format'."
            raise invalid(message, "structured_outputs")
        return self.structured_outputs.constraint()

    def check_stream_options(self) -> None:
        if self.stream_options is not None and not self.stream:
            message = "'stream_options' is only allowed when 'stream' is true."
            raise invalid(message, "stream_options")


class ChatBody(ChoicesBody):
    messages: Annotated[list[Message], Field(min_length=1, max_length=2048)]
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[ToolBody], Field(max_length=MAX_TOOLS)] = []
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None

    without_effect = {**ChoicesBody.without_effect, **CACHING}

    @property
    def limit_param(self) -> str:
        """What this request calls its limit of tokens."""
        return "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"

    def token_limit(self) -> int | None:
        """`max_completion_tokens`, or its older name."""
        if self.max_completion_tokens is None:
            return self.max_tokens
        if self.max_tokens not in {None, self.max_completion_tokens}:
            message = "'max_tokens' and 'max_completion_tokens' contradict each other."
            raise invalid(message, "max_tokens")
        return self.max_completion_tokens

    def num_logprobs(self) -> int | None:
        if self.top_logprobs and not self.logprobs:  # 0 asks for nothing
            message = "'top_logprobs' is only allowed when 'logprobs' is true."
            raise invalid(message, "top_logprobs")
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionBody(ChoicesBody):
    prompt: TextsOrIds = None
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


class EmbeddingsBody(BilledBody):
    input: TextsOrIds
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, lt=2**31)] | None = None


class FillMaskBody(BilledBody):
    input: Texts
    top_k: Annotated[int, Field(ge=1, le=100)] = 5
    targets: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=256)]],
        Field(min_length=1, max_length=1000),
    ] = []


class TokenizeBody(RequestBody):
    model: Annotated[str, Field(max_length=200)] = ""
    prompt: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=2048)] | None = None
    tools: Annotated[list[ToolBody], Field(max_length=MAX_TOOLS)] = []
    add_generation_prompt: bool = True
    return_token_strs: bool = False
    add_special_tokens: bool | None = None


class DetokenizeBody(RequestBody):
    model: Annotated[str, Field(max_length=200)] = ""
    tokens: list[Annotated[int, Field(ge=0, lt=2**31)]]
