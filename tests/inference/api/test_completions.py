"""Completions: every shape of prompt, echo, log-probabilities, best_of."""

import math

import httpx
import pytest

from inference import catalog
from inference.models import ModelAlias, ServedModel
from portal.lib.db import db
from tests.inference.api.events import stream
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.conftest import Books, chat

PATH = "/v1/completions"


def body(prompt: object = "abc", **fields: object) -> dict[str, object]:
    return {"model": "starter", "prompt": prompt} | fields


async def test_it_answers_with_sixteen_tokens_unless_told(
    api: httpx.AsyncClient, schema: OpenAISchema, books: Books
) -> None:
    answer = (await api.post(PATH, json=body())).json()
    schema.check("CreateCompletionResponse", answer)
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["choices"][0]["text"].startswith('You wrote: "abc"')
    assert answer["choices"][0]["logprobs"] is None
    await books.audit()


@pytest.mark.parametrize(
    ("prompt", "num_prompts", "num_tokens"),
    [
        ("abc", 1, 3),
        (["abc", "de"], 2, 5),
        ([97, 98, 99], 1, 3),
        ([[97, 98], [99]], 2, 3),
        ("", 1, 1),
        (None, 1, 1),
    ],
)
async def test_it_takes_every_shape_of_prompt(
    api: httpx.AsyncClient, prompt: object, num_prompts: int, num_tokens: int
) -> None:
    response = await api.post(PATH, json=body(prompt, max_tokens=2, n=2))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert [choice["index"] for choice in answer["choices"]] == list(range(2 * num_prompts))
    assert answer["usage"]["prompt_tokens"] == num_tokens
    assert answer["usage"]["completion_tokens"] == 4 * num_prompts


async def test_sample_j_of_prompt_i_has_index_i_times_n_plus_j(api: httpx.AsyncClient) -> None:
    answer = (await api.post(PATH, json=body(["ab", "cd"], n=2, max_tokens=40))).json()
    texts = [choice["text"] for choice in answer["choices"]]
    assert ['"ab"' in text for text in texts] == [True, True, False, False]


async def test_usage_may_come_with_every_chunk(api: httpx.AsyncClient, books: Books) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    sent = body("abc", n=2, max_tokens=5, stream=True, stream_options=options)
    chunks = (await stream(api, PATH, sent)).chunks
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(counts)
    assert (counts[0] < 10, counts[-1], chunks[-1]["choices"]) == (True, 10, [])
    assert {chunk["usage"]["prompt_tokens"] for chunk in chunks} == {3}
    assert (await books.record()).output_tokens == 10


async def test_older_clients_name_the_model_in_the_address(api: httpx.AsyncClient) -> None:
    path = "/v1/engines/text-davinci-003/completions"
    response = await api.post(path, json={"prompt": "abc", "max_tokens": 3, "stop": None})
    assert response.status_code == 200, response.text
    assert response.json()["model"] == "starter"
    missing = await api.post("/v1/engines/ada/completions", json={"prompt": "abc"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_there_is_no_chat_below_an_engine_but_a_model_may_be_called_that(
    api: httpx.AsyncClient,
) -> None:
    path = "/v1/engines/starter/chat/completions"
    refused = await api.post(path, json=chat("hi"))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (404, "unknown_url")
    assert path in error["message"]
    starter = await db(lambda: ServedModel.objects.get(name="starter"))
    await db(lambda: ModelAlias.objects.create(name="starter/chat", target=starter))
    catalog.forget()
    served = await api.post(path, json={"prompt": "abc", "max_tokens": 3})
    assert (served.status_code, served.json()["object"]) == (200, "text_completion")


@pytest.mark.parametrize("max_tokens", [0, 1])
async def test_it_scores_a_prompt(
    api: httpx.AsyncClient, schema: OpenAISchema, max_tokens: int
) -> None:
    """What evaluation harnesses do: the first is null, the rest are scored, greedy is equality."""
    ids = [104, 105, 259, 33]
    answer = (
        await api.post(PATH, json=body(ids, max_tokens=max_tokens, echo=True, logprobs=1))
    ).json()
    schema.check("CreateCompletionResponse", answer)
    [choice] = answer["choices"]
    logprobs = choice["logprobs"]
    assert logprobs["tokens"][:4] == ["h", "i", " the", "!"]  # no BOS was added
    assert len(logprobs["tokens"]) == 4 + max_tokens
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    for token, logprob, top in list(zip(
        logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True
    ))[1:]:  # fmt: skip
        assert top[token] == logprob
        assert max(top, key=lambda other: top[other]) == token
        assert math.isfinite(logprob)
    assert choice["text"].startswith("hi the!")
    assert logprobs["text_offset"][:4] == [0, 1, 2, 6]
    assert answer["usage"]["completion_tokens"] == max_tokens


async def test_a_token_that_stands_before_the_text_has_no_room_in_it(
    api: httpx.AsyncClient,
) -> None:
    """The empty text is scored as if behind the end of another one."""
    sent = body("", max_tokens=2, echo=True, logprobs=0)
    choice = (await api.post(PATH, json=sent)).json()["choices"][0]
    assert choice["text"] == "You wrote"
    assert choice["logprobs"]["tokens"] == ["<|endoftext|>", "You", " wrote"]
    assert choice["logprobs"]["text_offset"] == [0, 0, 3]


async def test_an_echoed_stream_begins_with_the_prompt(api: httpx.AsyncClient) -> None:
    sent = body("abc", max_tokens=4, echo=True, logprobs=0)
    events = await stream(api, PATH, sent)
    assert events.text.startswith("abcYou")
    whole = (await api.post(PATH, json=sent)).json()["choices"][0]
    assert events.text == whole["text"]
    offsets = [o for c in events.chunks for o in c["choices"][0]["logprobs"]["text_offset"]]
    assert offsets == whole["logprobs"]["text_offset"]


async def test_it_streams(api: httpx.AsyncClient, schema: OpenAISchema) -> None:
    sent = body(["ab", "cd"], max_tokens=6, stream_options={"include_usage": True})
    events = await stream(api, PATH, sent)
    for chunk in events.chunks:
        schema.check("CreateCompletionResponse", chunk)
    assert events.done
    assert events.finish_reasons == ["length", "length"]
    assert events.chunks[-1]["usage"]["total_tokens"] == 4 + 12
    assert all(chunk["usage"] is None for chunk in events.chunks[:-1])


async def test_every_sample_of_best_of_is_billed(api: httpx.AsyncClient, books: Books) -> None:
    answer = (await api.post(PATH, json=body(max_tokens=5, best_of=4, n=2))).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["choices"][0]["logprobs"] is None
    assert answer["usage"]["completion_tokens"] == 20
    assert (await books.record()).output_tokens == 20


async def test_half_characters_are_spelt_as_bytes(api: httpx.AsyncClient) -> None:
    answer = (await api.post(PATH, json=body("你", max_tokens=1, echo=True, logprobs=1))).json()
    assert answer["choices"][0]["logprobs"]["tokens"][:3] == [
        "bytes:\\xe4", "bytes:\\xbd", "bytes:\\xa0",
    ]  # fmt: skip
