"""The description of every route of the inference API, from which its OpenAPI document is made.

A test holds this table against the route table, both ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from inference.api import schemas, shapes
from inference.api.anthropic.body import MessagesBody, PromptBody
from inference.api.anthropic.models import HEADER as VERSION_HEADER
from inference.api.bodies import RequestBody
from inference.api.responses.body import ResponsesBody

GENERATES = (400, 402, 403, 404, 409, 413, 422, 429, 503)
ASKS = (400, 403, 404, 413, 429, 503)
ANTHROPIC_GENERATES = (*GENERATES[:-1], 529)
ANTHROPIC_ASKS = (*ASKS[:-1], 529)
READS = (403, 404, 429, 503)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route. `errors` are the statuses worth naming beside 401."""

    operation_id: str
    tag: str
    summary: str
    answer: type[BaseModel]
    errors: tuple[int, ...]
    body: type[RequestBody] | None = None
    example: Mapping[str, Any] | None = None
    chunk: type[BaseModel] | None = None  # one event of a stream, where there can be one
    query: tuple[str, ...] = ()  # optional texts
    headers: tuple[str, ...] = ()  # optional texts
    without: tuple[str, ...] = ()  # fields of the body that the address says
    error: type[BaseModel] = shapes.Error


CHAT_EXAMPLE = {
    "model": "starter",
    "messages": [{"role": "user", "content": "Tell me a story about a robot."}],
    "max_tokens": 64,
}
COMPLETION_EXAMPLE = {"model": "starter", "prompt": "Once upon a time", "max_tokens": 16}
COUNT_EXAMPLE = {"model": "starter", "messages": [{"role": "user", "content": "Say hello."}]}
MESSAGE_EXAMPLE = {**COUNT_EXAMPLE, "max_tokens": 16}
RESPONSE_EXAMPLE = {"model": "starter", "input": "Say hello.", "max_output_tokens": 16}
EMBEDDINGS_EXAMPLE = {"model": "vectors", "input": ["A man is eating.", "Someone has a meal."]}
FILL_MASK_EXAMPLE = {"model": "masks", "input": "Paris is the [MASK] of France.", "top_k": 3}
TOKENIZE_EXAMPLE = {"model": "starter", "prompt": "How many tokens is this?"}
DETOKENIZE_EXAMPLE = {"model": "starter", "tokens": [45, 46]}

_LIST_MODELS = Operation(
    "list_models", "Models", "The models that this key may call, with prices and limits.",
    shapes.EitherModelList, (400, 403, 503), query=("limit", "after_id", "before_id"),
    headers=(VERSION_HEADER,), error=shapes.EitherError,
)  # fmt: skip
_GET_MODEL = Operation(
    "get_model", "Models", "One model, by its name or an alias; names may contain slashes.",
    shapes.EitherModel, READS, headers=(VERSION_HEADER,), error=shapes.EitherError,
)  # fmt: skip
_CHAT = Operation(
    "create_chat_completion", "Chat", "Messages in, a message out: at once, or streamed.",
    shapes.ChatCompletion, GENERATES, schemas.ChatBody, CHAT_EXAMPLE, shapes.ChatCompletionChunk,
)  # fmt: skip
_COMPLETION = Operation(
    "create_completion", "Completions", "Text in, its continuation out: at once, or streamed.",
    shapes.Completion, GENERATES, schemas.CompletionBody, COMPLETION_EXAMPLE, shapes.Completion,
)  # fmt: skip
_ENGINE_COMPLETION = Operation(
    "create_engine_completion", "Completions",
    "The same, as OpenAI's libraries before 1.0 call it: the model is in the address.",
    shapes.Completion, GENERATES, schemas.CompletionBody,
    {"prompt": "Once upon a time", "max_tokens": 16}, shapes.Completion, without=("model",),
)  # fmt: skip
_RESPONSE = Operation(
    "create_response", "Responses", "A response with its items: at once, or streamed.",
    shapes.Response, GENERATES, ResponsesBody, RESPONSE_EXAMPLE, shapes.ResponseEvent,
)  # fmt: skip
_INPUT_TOKENS = Operation(
    "count_response_input", "Responses", "How many tokens a response's input would have; free.",
    shapes.InputTokens, ASKS, ResponsesBody, RESPONSE_EXAMPLE,
)  # fmt: skip
_GET_RESPONSE = Operation("get_response", "Responses", "A stored response.", shapes.Response, READS)
_DELETE_RESPONSE = Operation(
    "delete_response", "Responses", "Delete a stored response.", shapes.ResponseDeleted, READS
)
_RESPONSE_ITEMS = Operation(
    "list_response_input", "Responses", "What the model was given for a stored response.",
    shapes.ResponseItems, (400, *READS), query=("limit", "order", "after"),
)  # fmt: skip
_MESSAGE = Operation(
    "create_message", "Messages", "Messages in Anthropic's shape: at once, or streamed.",
    shapes.MessageMade, ANTHROPIC_GENERATES, MessagesBody, MESSAGE_EXAMPLE, shapes.MessageEvent,
    error=shapes.AnthropicError,
)  # fmt: skip
_COUNT_TOKENS = Operation(
    "count_message_tokens", "Messages", "How many tokens such messages would have; free.",
    shapes.MessageTokens, ANTHROPIC_ASKS, PromptBody, COUNT_EXAMPLE, error=shapes.AnthropicError,
)  # fmt: skip
_EMBEDDINGS = Operation(
    "create_embedding", "Encoders", "A vector of each input.",
    shapes.Embeddings, GENERATES, schemas.EmbeddingsBody, EMBEDDINGS_EXAMPLE,
)  # fmt: skip
_ENGINE_EMBEDDING = Operation(
    "create_engine_embedding", "Encoders",
    "The same, as OpenAI's libraries before 1.0 call it: the model is in the address.",
    shapes.Embeddings, GENERATES, schemas.EmbeddingsBody,
    {"input": ["A man is eating.", "Someone has a meal."]}, without=("model",),
)  # fmt: skip
_FILL_MASK = Operation(
    "fill_mask", "Encoders", "The likeliest tokens for each mask of each input.",
    shapes.FilledMasks, GENERATES, schemas.FillMaskBody, FILL_MASK_EXAMPLE,
)  # fmt: skip
_REQUEST = Operation(
    "get_request", "Requests", "What one request used and cost, and its texts while they are kept.",
    shapes.LoggedRequest, READS,
)  # fmt: skip


def _tokenizing(prefix: str, suffix: str) -> dict[tuple[str, str], Operation]:
    """The same three below /v1, where clients of OpenAI look, and at the root, where others do."""
    return {
        ("POST", f"{prefix}/tokenize"): Operation(
            f"tokenize{suffix}", "Tokens", "The tokens of a text or a conversation; free.",
            shapes.Tokenized, ASKS, schemas.TokenizeBody, TOKENIZE_EXAMPLE,
        ),
        ("POST", f"{prefix}/detokenize"): Operation(
            f"detokenize{suffix}", "Tokens", "The text of tokens; free.",
            shapes.Detokenized, ASKS, schemas.DetokenizeBody, DETOKENIZE_EXAMPLE,
        ),
        ("GET", f"{prefix}/tokenizer_info"): Operation(
            f"tokenizer_info{suffix}", "Tokens", "What harnesses ask about a model's tokenizer.",
            shapes.TokenizerInfo, READS, query=("model",),
        ),
    }  # fmt: skip


# By method and path, in the route table's spelling.
OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/v1/chat/completions"): _CHAT,
    ("POST", "/v1/completions"): _COMPLETION,
    ("POST", "/v1/engines/{engine:path}/completions"): _ENGINE_COMPLETION,
    ("GET", "/v1/models"): _LIST_MODELS,
    ("GET", "/v1/models/{model:path}"): _GET_MODEL,
    ("POST", "/v1/responses"): _RESPONSE,
    ("POST", "/v1/responses/input_tokens"): _INPUT_TOKENS,
    ("GET", "/v1/responses/{id}"): _GET_RESPONSE,
    ("DELETE", "/v1/responses/{id}"): _DELETE_RESPONSE,
    ("GET", "/v1/responses/{id}/input_items"): _RESPONSE_ITEMS,
    ("POST", "/v1/messages"): _MESSAGE,
    ("POST", "/v1/messages/count_tokens"): _COUNT_TOKENS,
    ("POST", "/v1/embeddings"): _EMBEDDINGS,
    ("POST", "/v1/engines/{engine:path}/embeddings"): _ENGINE_EMBEDDING,
    ("POST", "/v1/fill-mask"): _FILL_MASK,
    ("GET", "/v1/requests/{id}"): _REQUEST,
    **_tokenizing("/v1", ""),
    **_tokenizing("", "_at_the_root"),
}
