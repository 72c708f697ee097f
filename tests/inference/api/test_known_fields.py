"""Each field that OpenAI or Anthropic has is served, or refused by its name: none is overlooked."""

import json
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
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
from inference.api.responses.body import ResponsesBody
from inference.api.schemas import ChatBody, CompletionBody, EmbeddingsBody

Unsupported = Mapping[str, AsksForNothing]


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


@pytest.mark.parametrize(
    ("params", "body"),
    [(MessageCreateParamsBase, MessagesBody), (MessageCountTokensParams, PromptBody)],
)
def test_anthropics_fields(params: type, body: type[RequestBody]) -> None:
    fields = set(typing.get_type_hints(params))
    assert {"messages", "system", "tools"} <= fields
    assert fields - known(body, MESSAGES_UNSUPPORTED) == set()


def known(body: type[RequestBody], unsupported: Unsupported) -> set[str]:
    fields = {field.alias or name for name, field in body.model_fields.items()}
    return fields | set(unsupported)


def properties_of(name: str, schemas: dict[str, Any]) -> set[str]:
    """Of a component and of all that it is made of."""
    schema = schemas[name]
    found = set(schema.get("properties", ()))
    for part in schema.get("allOf", ()):
        if "$ref" in part:
            found |= properties_of(part["$ref"].rpartition("/")[2], schemas)
        else:
            found |= set(part.get("properties", ()))
    return found
