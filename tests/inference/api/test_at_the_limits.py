"""What is just allowed is served: the limits are where the contract says, and not one before."""

from typing import Any

import httpx
import pytest

from inference import service
from inference.api.bodies import parse
from inference.api.schemas import ChatBody
from inference.errors import ServiceError
from tests.inference.conftest import Books, chat

SAMPLED: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 2},
    {"top_p": 0},
    {"top_p": 1},
    {"top_k": -1},
    {"top_k": 2**31 - 1},
    {"min_p": 0},
    {"min_p": 1},
    {"repetition_penalty": 0.01},
    {"repetition_penalty": 10},
    {"presence_penalty": -2, "frequency_penalty": 2},
    {"presence_penalty": 2, "frequency_penalty": -2},
    {"seed": -(2**63)},
    {"seed": 2**63 - 1, "n": 2},
    {"n": 128},
    {"stop": "𝄞" * 256},
    {"logit_bias": {"0": -100, "258": 100}},
    {"logit_bias": {str(token_id): 1 for token_id in range(312)}},  # the whole vocabulary
    {"metadata": {f"{number:064}": "x" * 512 for number in range(16)}},
    {"user": "x" * 10_000},
    {"min_tokens": 1},
    {"ignore_eos": True},
]
CHATTED = [
    {"stop": ["a", "b", "c", "d"]},
    {"logprobs": True, "top_logprobs": 20},
    {"max_tokens": 1, "max_completion_tokens": 1},
    {"messages": [{"role": "user", "content": "x", "name": "n" * 64}]},
    {"tools": [{"type": "function", "function": {"name": f"{n:064}"}} for n in range(8)]},
]
COMPLETED = [
    {"stop": [str(number) for number in range(16)]},
    {"logprobs": 5},
    {"best_of": 20, "n": 20},
    {"max_tokens": 0},
    {"prompt": ["a"] * 128},
    {"prompt": ["a"] * 8, "n": 16},
    {"prompt": [[0], [300]]},
    {"prompt": "a" * 2047},
]


async def test_chat(api: httpx.AsyncClient) -> None:
    for fields in SAMPLED + CHATTED:
        body = chat(max_tokens=1) | fields
        response = await api.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, (fields, response.text)
        assert "x-ignored-fields" not in response.headers


async def test_completions(api: httpx.AsyncClient) -> None:
    for fields in SAMPLED + COMPLETED:
        body = {"model": "starter", "prompt": "a", "max_tokens": 1} | fields
        response = await api.post("/v1/completions", json=body)
        assert response.status_code == 200, (fields, response.text)
        assert "x-ignored-fields" not in response.headers


def test_as_many_biased_tokens_as_no_small_vocabulary_has() -> None:
    bias = {str(token_id): 1.0 for token_id in range(1025)}
    with pytest.raises(ServiceError, match="at most 1024 entries") as refused:
        parse(ChatBody, chat(logit_bias=bias))
    assert refused.value.param == "logit_bias"
    del bias["0"]
    assert parse(ChatBody, chat(logit_bias=bias)).logit_bias == bias


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_the_context_to_its_last_token(
    limit: str, api: httpx.AsyncClient, books: Books
) -> None:
    count = (await api.post("/tokenize", json=chat())).json()["count"]
    body = chat(**{limit: 2048 - count, "ignore_eos": True})
    usage = (await api.post("/v1/chat/completions", json=body)).json()["usage"]
    assert usage["total_tokens"] == 2048
    assert (await books.record()).output_tokens == 2048 - count
    refused = await api.post("/v1/chat/completions", json=body | {limit: 2049 - count})
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", limit)


async def test_embeddings(api: httpx.AsyncClient, encoders: service.Service) -> None:
    body = {"model": "vectors", "input": ["a"] * 2048, "encoding_format": "base64"}
    answer = (await api.post("/v1/embeddings", json=body)).json()
    assert [vector["index"] for vector in answer["data"]] == list(range(2048))
    one_more = await api.post("/v1/embeddings", json=body | {"input": ["a"] * 2049})
    assert (one_more.status_code, one_more.json()["error"]["param"]) == (400, "input")
    longest = await api.post("/v1/embeddings", json=body | {"input": "a" * 64})
    assert longest.status_code == 200, longest.text
