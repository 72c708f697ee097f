"""What every face asks of `inference.service`, and what it answers with.

A face (REST endpoint, playground socket) parses its own wire format into one frozen
`GenerationSpec`, calls `service.prepare`, and turns the events of `service.stream` into its own
wire format. Nothing here knows HTTP or websockets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from inference.engine.params import Grammar, SamplingParams

LEAST_MEASURED_MS = 5


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation; `extra_json` carries tool calls and the like, as JSON."""

    role: str
    content: str
    name: str = ""
    extra_json: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters` is the JSON schema of its arguments, as JSON.

    `lenient`: what of the schema cannot be enforced is ignored. A refusal names the field `param`.
    """

    name: str
    description: str
    parameters: str
    lenient: bool
    param: str


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation, and the tools that its next message may call; for `param` see `Prompt`."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[Tool, ...] = ()
    param: str = "messages"


@dataclass(frozen=True, slots=True)
class TextPrompt:
    text: str
    param: str = "prompt"


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    token_ids: tuple[int, ...]
    param: str = "prompt"


# A refusal of a prompt names the field `param`.
Prompt = ChatPrompt | TextPrompt | TokenPrompt


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the text has to be; a refusal names the field `param`."""

    grammar: Grammar
    param: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Which of the prompt's tools may be called, by their places there, and how.

    `parallel` None: several at once where the model was made for it.
    """

    places: tuple[int, ...]
    required: bool
    parallel: bool | None


@dataclass(frozen=True, slots=True)
class Embed:
    """A vector of each input; of fewer dimensions than the model's, if given."""

    dimensions: int | None = None


@dataclass(frozen=True, slots=True)
class FillMask:
    """The likeliest tokens of each mask, among the targets if there are any.

    `target_ids` is filled in by the service.
    """

    top_k: int
    targets: tuple[str, ...] = ()
    target_ids: tuple[int, ...] = ()


EncoderTask = Embed | FillMask

Face = Literal["api", "playground"]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class GenerationSpec:
    """One request, the same for every face.

    Prompt *i* and sample *j* make the sequence with index `i * n + j`. `max_tokens` None means
    "what fits": the hold then covers a window and is extended while decoding; the
    `sampling.max_tokens` beside it is ignored. A refusal calls it `limit_param`.
    `sampling.grammar` is filled in by the service, from `constraint` and `tool_use`; with both, a
    text without calls is JSON. With a `task`, an encoder is asked: the prompts are its inputs,
    `max_tokens` is 0 and the sampling means nothing.
    """

    model: str
    prompts: tuple[Prompt, ...]
    sampling: SamplingParams
    max_tokens: int | None
    face: Face
    endpoint: str
    limit_param: str = "max_tokens"
    stream: bool = False
    n: int = 1
    best_of: int | None = None
    echo: bool = False
    batch: bool = False  # may wait behind whatever is not
    constraint: Constraint | None = None
    tool_use: ToolUse | None = None
    task: EncoderTask | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def num_sequences(self) -> int:
        return len(self.prompts) * (self.best_of or self.n)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """`top` holds (token id, bytes, log-probability), most probable first."""

    token_id: int
    token_bytes: bytes
    logprob: float | None
    top: tuple[tuple[int, bytes, float], ...] = ()
    silent: bool = False  # a special token, which is no part of what was said

    @property
    def text_bytes(self) -> bytes:
        """What it adds to the text."""
        return b"" if self.silent else self.token_bytes


@dataclass(slots=True)
class TextDelta:
    """New text of sequence `index`; the one that ends it carries its `finish_reason`.

    `stop_sequence` is the stop text that ended it; empty when it ended otherwise. Nobody changes
    one, but there is one for every token: frozen, it would take three times as long to make.
    """

    index: int
    text: str
    num_tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None
    stop_sequence: str = ""


def merged(parts: Sequence[TextDelta]) -> TextDelta:
    """One delta of several of a sequence."""
    if len(parts) == 1:
        return parts[0]
    return TextDelta(
        index=parts[0].index,
        text="".join(part.text for part in parts),
        num_tokens=sum(part.num_tokens for part in parts),
        logprobs=tuple(entry for part in parts for entry in part.logprobs),
        prompt_logprobs=tuple(entry for part in parts for entry in part.prompt_logprobs),
        finish_reason=parts[-1].finish_reason,
        stop_sequence=parts[-1].stop_sequence,
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """The last event of every generation that was settled: what was counted is what is billed.

    `ttft_ms` is None when no token came; times are in milliseconds since the request arrived.
    `tokens_per_s` is None when they came too close together for a speed.
    """

    request_id: str
    model: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_nanos: int
    outcome: Literal["finished", "aborted", "failed"]
    finish_reason: str
    ttft_ms: int | None
    duration_ms: int
    tokens_per_s: float | None
    balance_nanos: int


Event = TextDelta | Summary


def tokens_per_s(output_tokens: int, decode_ms: int | None) -> float | None:
    """How fast the tokens after the first came; None where that is too short to be measured.

    Of whole milliseconds, as they are on record: all who tell of a request tell the same speed.

    Tokens that a grammar or a guess lets come at once arrive together: all of an answer may, and
    the microseconds between its parts tell nothing.
    """
    if output_tokens < 2 or decode_ms is None or decode_ms < LEAST_MEASURED_MS:
        return None
    return (output_tokens - 1) * 1000 / decode_ms
