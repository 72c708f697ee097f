"""Embeddings: every shape of input, both encodings, dimensions, the bill, what is refused."""

import asyncio
from base64 import b64decode
from typing import Any

import httpx
import numpy as np
import pytest
from openai import AsyncOpenAI

from accounts.models import Organisation
from billing import ledger
from inference.engine.encoders.fake import DIMENSIONS
from portal.lib.db import db
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.conftest import Books

PATH = "/v1/embeddings"

pytestmark = pytest.mark.usefixtures("encoders")


def body(value: object = "the zoo", **fields: object) -> dict[str, object]:
    return {"model": "vectors", "input": value} | fields


def vectors(answer: dict[str, Any]) -> np.ndarray[Any, Any]:
    assert [each["index"] for each in answer["data"]] == list(range(len(answer["data"])))
    return np.array([each["embedding"] for each in answer["data"]], np.float32)


async def test_it_answers_with_a_vector_and_bills_its_tokens(
    api: httpx.AsyncClient, schema: OpenAISchema, books: Books
) -> None:
    response = await api.post(PATH, json=body("abcabc"))
    answer = response.json()
    schema.check("CreateEmbeddingResponse", answer)
    assert vectors(answer).shape == (1, DIMENSIONS)
    counted = (await api.post("/tokenize", json={"model": "vectors", "prompt": "abcabc"})).json()
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": counted["count"]}
    record = await books.record()
    assert (record.endpoint, record.uncached_tokens, record.output_tokens) == ("embeddings", 6, 0)
    assert record.cost_nanos == 6 * 1000
    assert response.headers["x-request-cost"] == "0.000006"
    assert await books.open_holds() == 0
    await books.audit()


async def test_the_list_of_models_says_how_long_a_vector_is(api: httpx.AsyncClient) -> None:
    listed = (await api.get("/v1/models")).json()["data"]
    told = {model["id"]: model["dimensions"] for model in listed}
    assert (told["vectors"], told["masks"], told["starter"]) == (DIMENSIONS, None, None)
    assert (await api.get("/v1/models/vectors")).json()["dimensions"] == DIMENSIONS


@pytest.mark.parametrize(
    ("value", "num_inputs", "num_tokens"),
    [
        ("abc", 1, 3),
        (["abc"], 1, 3),
        (["abc", "de", "abc"], 3, 8),
        ([97, 98, 99], 1, 3),
        ([[97, 98], [99]], 2, 3),
        (["x"] * 2048, 2048, 2048),
    ],
)
async def test_it_takes_every_shape_of_input(
    api: httpx.AsyncClient, value: object, num_inputs: int, num_tokens: int
) -> None:
    response = await api.post(PATH, json=body(value))
    assert response.status_code == 200, response.text
    assert len(response.json()["data"]) == num_inputs
    assert response.json()["usage"]["prompt_tokens"] == num_tokens


async def test_the_ids_of_a_text_have_its_vector(api: httpx.AsyncClient) -> None:
    [text] = vectors((await api.post(PATH, json=body("the zoo"))).json())
    ids = (await api.post("/tokenize", json={"model": "vectors", "prompt": "the zoo"})).json()
    [same] = vectors((await api.post(PATH, json=body(ids["tokens"]))).json())
    np.testing.assert_array_equal(text, same)


async def test_older_clients_name_the_model_in_the_address(
    api: httpx.AsyncClient, books: Books
) -> None:
    sent = {"input": "the zoo", "engine": "vectors", "encoding_format": "base64"}
    older = await api.post("/v1/engines/vectors/embeddings", json=sent)
    assert older.status_code == 200, older.text
    assert older.json() == (await api.post(PATH, json=body(encoding_format="base64"))).json()
    assert {record.model for record in await books.settled(2)} == {"vectors"}
    missing = await api.post("/v1/engines/ada/embeddings", json=sent)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_base64_holds_the_same_numbers(api: httpx.AsyncClient, schema: OpenAISchema) -> None:
    plain = vectors((await api.post(PATH, json=body(["ab", "cde"]))).json())
    packed = (await api.post(PATH, json=body(["ab", "cde"], encoding_format="base64"))).json()
    for expected, each in zip(plain, packed["data"], strict=True):
        np.testing.assert_array_equal(np.frombuffer(b64decode(each["embedding"]), "<f4"), expected)


async def test_fewer_dimensions_are_the_first_ones_of_length_one(api: httpx.AsyncClient) -> None:
    [whole] = vectors((await api.post(PATH, json=body("abcdefgp"))).json())
    [cut] = vectors((await api.post(PATH, json=body("abcdefgp", dimensions=5))).json())
    np.testing.assert_allclose(cut, whole[:5] / np.linalg.norm(whole[:5]), atol=1e-6)
    same = vectors((await api.post(PATH, json=body("abcdefgp", dimensions=DIMENSIONS))).json())
    np.testing.assert_array_equal(same[0], whole)


async def test_the_official_sdk_gets_floats_whatever_it_asks_for(
    base_url: str, secret: str
) -> None:
    # Not strict: by its types, base64, which it asks for itself, would be refused.
    async with AsyncOpenAI(base_url=f"{base_url}/v1", api_key=secret, timeout=30) as client:
        packed = await client.embeddings.create(model="vectors", input=["ab", "cd"])
        plain = await client.embeddings.create(
            model="vectors", input=["ab", "cd"], encoding_format="float", dimensions=8
        )
    assert [len(each.embedding) for each in packed.data] == [DIMENSIONS] * 2
    assert [len(each.embedding) for each in plain.data] == [8] * 2
    assert packed.usage.prompt_tokens == 4


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        (body(""), "input"),
        (body([]), "input"),
        (body(["a", "", "b"]), "input[1]"),
        (body([[1], []]), "input[1]"),
        (body("x" * 65), "input"),
        (body(["a", "b", "c", "x" * 65]), "input[3]"),
        (body([97] * 65), "input"),
        (body([100_000]), "input"),
        (body([[1], [100_000]]), "input[1]"),
        (body([1, "a"]), "input[1]"),
        (body([1, True]), "input[1]"),
        (body([True]), "input[0]"),
        (body([1.0]), "input[0]"),
        (body([-1]), "input[0]"),
        (body(["a", 1]), "input[1]"),
        (body(["a", ["b"]]), "input[1]"),
        (body([[1], [2, "a"]]), "input[1][1]"),
        (body(5), "input"),
        (body({"text": "a"}), "input"),
        (body(None), "input"),
        (body(["a"] * 2049), "input"),
        (body(dimensions=DIMENSIONS + 1), "dimensions"),
        (body(dimensions=0), "dimensions"),
        (body(dimensions="5"), "dimensions"),
        (body(dimensions=5.0), "dimensions"),
        (body(dimensions=True), "dimensions"),
        (body(encoding_format="hex"), "encoding_format"),
        (body(user=5), "user"),
        (body() | {"model": 5}, "model"),
        (body() | {"model": "starter"}, "model"),
        (body() | {"model": "masks"}, "model"),
    ],
)
async def test_bad_input_is_refused_by_its_name_and_free(
    api: httpx.AsyncClient, books: Books, sent: dict[str, object], param: str
) -> None:
    response = await api.post(PATH, json=sent)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param), response.text
    assert await books.records() == []


async def test_a_generation_of_an_encoder_is_refused_with_the_way_to_call_it(
    api: httpx.AsyncClient,
) -> None:
    for path, sent in (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/completions", {"prompt": "a"}),
    ):
        response = await api.post(path, json={"model": "vectors"} | sent)
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "model")
        assert error["code"] == "wrong_kind_of_model"
        assert "/v1/embeddings" in error["message"]


async def test_it_needs_a_key_a_known_model_and_the_right_method(api: httpx.AsyncClient) -> None:
    keyless = await api.post(PATH, json=body(), headers={"authorization": ""})
    assert keyless.status_code == 401
    unknown = await api.post(PATH, json=body() | {"model": "nothing"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    wrong = await api.get(PATH)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_a_request_whose_inputs_are_too_many_tokens_is_refused(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.encoder_inputs.MAX_REQUEST_TOKENS", 10)
    assert (await api.post(PATH, json=body(["abcde"] * 2))).status_code == 200
    refused = await api.post(PATH, json=body(["abcde", "abcdef"]))
    error = refused.json()["error"]
    assert (refused.status_code, error["param"], error["code"]) == (
        400, "input", "context_length_exceeded",
    )  # fmt: skip


async def test_a_poisoned_request_fails_alone_and_is_free(
    api: httpx.AsyncClient, books: Books
) -> None:
    good = [api.post(PATH, json=body(f"text {n}")) for n in range(6)]
    *answers, failed = await asyncio.gather(*good, api.post(PATH, json=body(["a", "poison"])))
    assert {answer.status_code for answer in answers} == {200}
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "engine_error")
    records = await books.settled(7)
    assert sorted(record.outcome for record in records) == ["failed"] + ["finished"] * 6
    assert [record.cost_nanos for record in records if record.outcome == "failed"] == [0]
    await books.audit()


async def test_without_credit_it_is_refused_before_anything_is_computed(
    api: httpx.AsyncClient, books: Books, organisation: Organisation
) -> None:
    def spend() -> None:
        ledger.open_hold(
            "req_x", organisation.id, 9_999_999_000, owner="test", api_key_id=None, context={}
        )

    await db(spend)
    assert (await api.post(PATH, json=body("a"))).status_code == 200
    refused = await api.post(PATH, json=body("abc"))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (
        402, "insufficient_quota", "input",
    )  # fmt: skip
    assert "would fit" not in error["message"]  # there is nothing to lower
    assert error["details"].keys() == {"balance", "ceiling", "top_up_url"}


async def test_a_retry_with_the_same_key_is_answered_and_billed_once(
    api: httpx.AsyncClient, books: Books
) -> None:
    headers = {"idempotency-key": "once"}
    first = await api.post(PATH, json=body(["ab", "c"]), headers=headers)
    again = await api.post(PATH, json=body(["ab", "c"]), headers=headers)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert (await books.record()).uncached_tokens == 3


async def test_models_say_what_they_do(api: httpx.AsyncClient, schema: OpenAISchema) -> None:
    listed = {model["id"]: model for model in (await api.get("/v1/models")).json()["data"]}
    schema.check("Model", listed["vectors"])
    assert listed["vectors"]["capabilities"] == ["embeddings"]
    assert listed["masks"]["capabilities"] == ["fill_mask"]
    assert listed["vectors"]["pricing"]["input"] == "0.000001"
