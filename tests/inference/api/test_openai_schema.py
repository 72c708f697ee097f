"""What is let pass where OpenAI's description says otherwise, and nothing beside it."""

from typing import Any

import pytest

from tests.inference.api.openai_schema import OpenAISchema

USAGE = {"prompt_tokens": 2, "completion_tokens": 0, "total_tokens": 2}


def completion(**logprobs: Any) -> dict[str, Any]:
    """A scored prompt of two tokens."""
    lists = {
        "tokens": ["a", "b"],
        "text_offset": [0, 1],
        "token_logprobs": [None, -1.5],
        "top_logprobs": [None, {"b": -1.5}],
    }
    choice = {"index": 0, "text": "ab", "finish_reason": "length", "logprobs": lists | logprobs}
    return {
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "usage": USAGE,
        "choices": [choice],
    }  # fmt: skip


def test_the_first_token_has_no_probability(schema: OpenAISchema) -> None:
    schema.check("CreateCompletionResponse", completion())


@pytest.mark.parametrize(
    "wrong",
    [
        {"token_logprobs": [None, None]},
        {"token_logprobs": [-1.0, None]},
        {"token_logprobs": [None, "-1.5"]},
        {"top_logprobs": [None, None]},
        {"top_logprobs": [None, {"b": None}]},
        {"tokens": [None, "b"]},
        {"tokens": "ab"},
        {"text_offset": [0, None]},
    ],
)
def test_nothing_else_of_it_may_be_null(schema: OpenAISchema, wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="logprobs"):
        schema.check("CreateCompletionResponse", completion(**wrong))


def test_base64_is_an_embedding_and_null_is_none(schema: OpenAISchema) -> None:
    def answer(embedding: object) -> dict[str, Any]:
        data = [{"object": "embedding", "index": 0, "embedding": embedding}]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return {"object": "list", "model": "m", "data": data, "usage": usage}

    schema.check("CreateEmbeddingResponse", answer("AACAPw=="))
    schema.check("CreateEmbeddingResponse", answer([1.0]))
    with pytest.raises(AssertionError, match="embedding"):
        schema.check("CreateEmbeddingResponse", answer(None))
