"""What the endpoints answer with, for the published description; a test holds answers against it.

Answers are built as plain dictionaries where they are made, without a model in between: this is
what they promise. Fields may be added to them, so objects are open.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field, RootModel


class Pricing(BaseModel):
    """US dollars per token, as decimal strings."""

    input: str
    cached_input: str
    output: str
    flex_multiplier_bp: int = Field(
        description="What `service_tier: flex` costs of it, in basis points: 5000 is half."
    )


class Model(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int
    dimensions: int | None
    pricing: Pricing
    capabilities: list[str]
    quantization: str | None
    shutdown_date: str | None


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[Model]


class PromptTokensDetails(BaseModel):
    cached_tokens: int


class TokenUsage(BaseModel):
    """What was counted is what is billed; `cached_tokens` are a part of `prompt_tokens`."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class FunctionCall(BaseModel):
    name: str
    arguments: str


class ToolCallMade(BaseModel):
    id: str
    type: Literal["function"]
    function: FunctionCall


class ChatMessageMade(BaseModel):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[ToolCallMade] = []


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprobMade(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    content: list[TokenLogprobMade] | None
    refusal: None


ChatFinish = Literal["stop", "length", "tool_calls"]


class ChatChoice(BaseModel):
    index: int
    message: ChatMessageMade
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinish


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    service_tier: Literal["default", "flex"]
    choices: list[ChatChoice]
    usage: TokenUsage


class ChatChunkChoice(BaseModel):
    index: int
    delta: dict[str, Any]
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinish | None


class ChatCompletionChunk(BaseModel):
    """One event of a streamed answer; `usage` is there when the request asked for it."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: TokenUsage | None = None


class CompletionLogprobLists(BaseModel):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    index: int
    text: str
    logprobs: CompletionLogprobLists | None
    finish_reason: Literal["stop", "length"] | None


class Completion(BaseModel):
    """A whole answer, and one event of a streamed one."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: TokenUsage | None = None


class InputUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class Embedding(BaseModel):
    """`embedding` is text when base64 was asked for."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(BaseModel):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: InputUsage


class MaskCandidate(BaseModel):
    """`score` is the token's probability among all; `sequence` has it in its place."""

    token: int
    token_str: str
    score: float
    sequence: str


class FilledMask(BaseModel):
    position: int
    candidates: list[MaskCandidate]


class FilledInput(BaseModel):
    object: Literal["fill_mask"]
    index: int
    masks: list[FilledMask]


class FilledMasks(BaseModel):
    object: Literal["list"]
    data: list[FilledInput]
    model: str
    usage: InputUsage


class Tokenized(BaseModel):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class Detokenized(BaseModel):
    prompt: str


class TokenizerInfo(BaseModel):
    tokenizer_class: str
    model: str
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    cls_token: str | None
    sep_token: str | None
    mask_token: str | None
    eos_token_ids: list[int]
    chat_template: str | None
    has_chat_template: bool
    vocab_size: int
    model_max_length: int


class Response(BaseModel):
    """`output` holds messages and calls of functions; what was asked is repeated beside them."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: dict[str, Any] | None
    incomplete_details: dict[str, Any] | None
    model: str
    output: list[dict[str, Any]]
    previous_response_id: str | None
    store: bool
    usage: dict[str, Any] | None


class ResponseEvent(BaseModel):
    """One event of a streamed response; its other fields depend on its type."""

    type: str
    sequence_number: int


class ResponseItems(BaseModel):
    object: Literal["list"]
    data: list[dict[str, Any]]


class ResponseDeleted(BaseModel):
    id: str
    object: Literal["response"]
    deleted: Literal[True]


class InputTokens(BaseModel):
    object: Literal["response.input_tokens"]
    input_tokens: int


class MessageMade(BaseModel):
    """`content` holds texts and uses of tools; the three counts of input tokens are disjoint."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]
    stop_sequence: str | None
    usage: dict[str, int]


class MessageEvent(BaseModel):
    """One event of a streamed message; its other fields depend on its type."""

    type: str


class MessageTokens(BaseModel):
    input_tokens: int


class LoggedRequest(BaseModel):
    """What one request used and cost; `bodies` are there while the organisation keeps them."""

    object: Literal["request"]
    id: str
    created_at: str
    status: Literal["finished", "aborted", "failed"]
    model: str
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_nanos: int
    cost: str
    metadata: dict[str, str]
    bodies: dict[str, Any] | None


class ErrorBody(BaseModel):
    """`details` are facts for programs, where there are any."""

    message: str
    type: str
    param: str | None
    code: str | None
    details: dict[str, str | int] = {}


class Error(BaseModel):
    """Every error on every path below /v1 (but /v1/messages) and /api."""

    error: ErrorBody


class AnthropicErrorBody(BaseModel):
    """`details` has our code, the field at fault, and facts for programs, where there are any."""

    type: str
    message: str
    details: dict[str, str | int] = {}


class AnthropicError(BaseModel):
    """Every error below /v1/messages."""

    type: Literal["error"]
    error: AnthropicErrorBody
    request_id: str


class AnthropicModel(BaseModel):
    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    max_input_tokens: int
    max_tokens: int
    lifecycle: Literal["active", "deprecated"]
    retires_at: str | None


class AnthropicModelList(BaseModel):
    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


class EitherModel(RootModel[Model | AnthropicModel]):
    """With the header `anthropic-version`, Anthropic's."""


class EitherModelList(RootModel[ModelList | AnthropicModelList]):
    """With the header `anthropic-version`, Anthropic's."""


class EitherError(RootModel[Error | AnthropicError]):
    """With the header `anthropic-version`, Anthropic's."""
