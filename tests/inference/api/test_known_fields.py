"""Each field that OpenAI or Anthropic has is served, or refused by its name: none is overlooked."""

import json
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.beta import message_count_tokens_params as beta_count_params
from anthropic.types.beta import message_create_params as beta_params
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsBase

from inference.api.anthropic.body import MessagesBody, PromptBody
from inference.api.bodies import (
    CHAT_UNSUPPORTED,
    COMPLETION_UNSUPPORTED,
    MESSAGES_UNSUPPORTED,
    RESPONSES_UNSUPPORTED,
    AsksForNothing,
    RequestBody,
)
from inference.api.chat_messages import CalledFunction, FunctionCall, Message, ToolCall
from inference.api.formats import JsonSchema, ResponseFormat
from inference.api.responses.body import FlatTool, ResponsesBody, TextOptions
from inference.api.responses.items import FunctionCallItem, FunctionCallOutputItem, MessageItem
from inference.api.schemas import ChatBody, CompletionBody, EmbeddingsBody, StreamOptions
from inference.api.tools import FunctionBody, ToolBody

Unsupported = Mapping[str, AsksForNothing]
CHAT = "ChatCompletionRequest"
# What is inside of requests. Refused are fields that have no value here but null.
NESTED: list[tuple[str, type[RequestBody]]] = [
    *((f"{CHAT}{role}Message", Message) for role in
      ("Developer", "System", "User", "Assistant", "Tool", "Function")),
    (f"{CHAT}AssistantMessage.function_call", FunctionCall),
    ("ChatCompletionMessageToolCall", ToolCall),
    ("ChatCompletionMessageToolCall.function", CalledFunction),
    ("ChatCompletionStreamOptions", StreamOptions),
    ("ChatCompletionTool", ToolBody),
    ("FunctionObject", FunctionBody),
    ("ResponseFormatText", ResponseFormat),
    ("ResponseFormatJsonObject", ResponseFormat),
    ("ResponseFormatJsonSchema", ResponseFormat),
    ("ResponseFormatJsonSchema.json_schema", JsonSchema),
    ("ResponseStreamOptions", StreamOptions),
    ("FunctionToolParam", FlatTool),
    ("ResponseTextParam", TextOptions),
    ("EasyInputMessage", MessageItem),
    ("InputMessage", MessageItem),
    ("OutputMessage", MessageItem),
    ("FunctionToolCall", FunctionCallItem),
    ("FunctionCallOutputItemParam", FunctionCallOutputItem),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "body", "unsupported"),
    [
        ("CreateChatCompletionRequest", ChatBody, CHAT_UNSUPPORTED),
        ("CreateCompletionRequest", CompletionBody, COMPLETION_UNSUPPORTED),
        ("CreateEmbeddingRequest", EmbeddingsBody, {}),
        ("CreateResponse", ResponsesBody, RESPONSES_UNSUPPORTED),
    ],
)
def test_openais_fields(
    name: str,
    body: type[RequestBody],
    unsupported: Unsupported,
    reference_data: Callable[[str], Path],
) -> None:
    description = json.loads(reference_data("openai/openapi.json").read_text())
    fields = properties_of(name, description["components"]["schemas"])
    assert len(fields) > 4
    assert fields - known(body, unsupported) == set()


@pytest.mark.parametrize(("name", "body"), NESTED)
def test_openais_fields_inside(
    name: str, body: type[RequestBody], reference_data: Callable[[str], Path]
) -> None:
    description = json.loads(reference_data("openai/openapi.json").read_text())
    fields = properties_of(name, description["components"]["schemas"])
    assert fields
    assert fields - known(body, {}) == set()


@pytest.mark.parametrize(
    ("params", "body"),
    [
        (MessageCreateParamsBase, MessagesBody),
        (MessageCountTokensParams, PromptBody),
        (beta_params.MessageCreateParamsBase, MessagesBody),
        (beta_count_params.MessageCountTokensParams, PromptBody),
    ],
)
def test_anthropics_fields(params: type, body: type[RequestBody]) -> None:
    fields = set(typing.get_type_hints(params)) - {"betas"}  # which its library makes a header of
    assert {"messages", "system", "tools"} <= fields
    assert fields - known(body, MESSAGES_UNSUPPORTED) == set()


def known(body: type[RequestBody], unsupported: Unsupported) -> set[str]:
    fields = {field.alias or name for name, field in body.model_fields.items()}
    return fields | set(unsupported)


def properties_of(name: str, schemas: dict[str, Any]) -> set[str]:
    """Of a component, or of a property of one, and of all that it is made of."""
    name, _, inner = name.partition(".")
    schema = schemas[name]
    return set(_properties(schema["properties"][inner] if inner else schema, schemas))


def _properties(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield from _properties(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    yield from schema.get("properties", ())
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        yield from _properties(part, schemas)
