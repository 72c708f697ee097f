"""Masked tokens: candidates for each mask, targets, the bill, and what is refused."""

import httpx
import pytest

from inference.engine.encoders.fake import MASK
from tests.inference.conftest import Books

PATH = "/v1/fill-mask"

pytestmark = pytest.mark.usefixtures("encoders")


def body(value: object = f"ab{MASK}", **fields: object) -> dict[str, object]:
    return {"model": "masks", "input": value} | fields


async def test_it_answers_with_candidates_and_bills_its_tokens(
    api: httpx.AsyncClient, books: Books
) -> None:
    answer = (await api.post(PATH, json=body(top_k=2))).json()
    assert answer == {
        "object": "list",
        "model": "masks",
        "data": [
            {
                "object": "fill_mask",
                "index": 0,
                "masks": [
                    {
                        "position": 2,
                        "candidates": [
                            {"token": 98, "token_str": "b", "score": 0.5, "sequence": "abb"},
                            {"token": 99, "token_str": "c", "score": 0.25, "sequence": "abc"},
                        ],
                    }
                ],
            }
        ],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    record = await books.record()
    assert (record.endpoint, record.uncached_tokens, record.cost_nanos) == ("fill_mask", 3, 3000)
    await books.audit()


async def test_every_mask_of_every_input_is_filled(api: httpx.AsyncClient) -> None:
    answer = (await api.post(PATH, json=body([f"a{MASK}, {MASK}", MASK]))).json()
    assert [[mask["position"] for mask in each["masks"]] for each in answer["data"]] == [
        [1, 3],
        [0],
    ]
    assert {len(m["candidates"]) for each in answer["data"] for m in each["masks"]} == {5}


async def test_it_chooses_among_targets(api: httpx.AsyncClient) -> None:
    answer = (await api.post(PATH, json=body(targets=["x", "y", "x"], top_k=10))).json()
    [mask] = answer["data"][0]["masks"]
    assert [each["token_str"] for each in mask["candidates"]] == ["x", "y"]


async def test_the_mask_is_told(api: httpx.AsyncClient) -> None:
    info = (await api.get("/tokenizer_info", params={"model": "masks"})).json()
    assert info["mask_token"] == MASK


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        (body("no mask"), "input"),
        (body([MASK, "no mask"]), "input[1]"),
        (body(""), "input"),
        (body([]), "input"),
        (body([97, 98]), "input[0]"),
        (body([[97]]), "input[0]"),
        (body([MASK, 5]), "input[1]"),
        (body(MASK + "x" * 64), "input"),
        (body(None), "input"),
        (body(top_k=0), "top_k"),
        (body(top_k=101), "top_k"),
        (body(top_k="5"), "top_k"),
        (body([MASK * 30], top_k=100), "top_k"),
        (body(targets=[]), "targets"),
        (body(targets=["a", "abc"]), "targets[1]"),
        (body(targets=["a", ""]), "targets[1]"),
        (body(targets="a"), "targets"),
        (body() | {"model": "vectors"}, "model"),
        (body() | {"model": "starter"}, "model"),
    ],
)
async def test_bad_input_is_refused_by_its_name_and_free(
    api: httpx.AsyncClient, books: Books, sent: dict[str, object], param: str
) -> None:
    response = await api.post(PATH, json=sent)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param), response.text
    assert await books.records() == []


async def test_it_needs_a_key_a_known_model_and_the_right_method(api: httpx.AsyncClient) -> None:
    keyless = await api.post(PATH, json=body(), headers={"authorization": ""})
    assert keyless.status_code == 401
    unknown = await api.post(PATH, json=body() | {"model": "nothing"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert (await api.get(PATH)).status_code == 405


async def test_a_poisoned_request_is_free(api: httpx.AsyncClient, books: Books) -> None:
    failed = await api.post(PATH, json=body(f"poison {MASK}"))
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "engine_error")
    record = await books.record()
    assert (record.outcome, record.cost_nanos) == ("failed", 0)
    await books.audit()
