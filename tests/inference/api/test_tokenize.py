"""What evaluation harnesses ask: the ids that are billed, at both addresses, for nothing."""

import asyncio

import httpx
import pytest
from jinja2 import Environment

from inference import service
from inference.api.tokenize import PIECE, _spell
from tests.inference.conftest import Books, chat

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_ids_come_and_go(prefix: str, api: httpx.AsyncClient, books: Books) -> None:
    asked = {"model": "starter", "prompt": "hi the!", "return_token_strs": True}
    response = await api.post(f"{prefix}/tokenize", json=asked)
    told = response.json()
    assert told == {
        "count": 4, "max_model_len": 2048, "tokens": [104, 105, 259, 33],
        "token_strs": ["h", "i", " the", "!"],
    }  # fmt: skip
    assert "x-ratelimit-remaining-requests" in response.headers
    back = {"model": "starter", "tokens": told["tokens"]}
    assert (await api.post(f"{prefix}/detokenize", json=back)).json() == {"prompt": "hi the!"}
    info = (await api.get(f"{prefix}/tokenizer_info", params={"model": "starter"})).json()
    assert (info["eos_token"], info["vocab_size"], info["has_chat_template"]) == (
        "<|endoftext|>", 312, True,
    )  # fmt: skip
    assert await books.records() == []


async def test_the_template_that_is_told_renders_what_is_billed(api: httpx.AsyncClient) -> None:
    """As a harness does that renders chats itself and sends the text."""
    info = (await api.get("/tokenizer_info")).json()
    told = {name: info[name] for name in ("bos_token", "eos_token", "pad_token")}
    assert told == {"bos_token": None, "eos_token": "<|endoftext|>", "pad_token": None}
    messages = [{"role": "user", "content": "hi"}]
    template = Environment(autoescape=False).from_string(info["chat_template"])
    for add in (True, False):
        rendered = template.render(messages=messages, add_generation_prompt=add)
        asked = {"messages": messages, "add_generation_prompt": add}
        ids = (await api.post("/tokenize", json=asked)).json()["tokens"]
        assert (await api.post("/detokenize", json={"tokens": ids})).json() == {"prompt": rendered}


async def test_what_is_told_is_what_is_billed(api: httpx.AsyncClient, books: Books) -> None:
    bodies = [chat("hi"), chat("hi", tools=[TOOL]), {"model": "starter", "prompt": "hi the!"}]
    counts = []
    for body in bodies:
        told = (await api.post("/tokenize", json=body)).json()
        assert told["token_strs"] is None
        counts.append(told["count"])
        path = "/v1/completions" if "prompt" in body else "/v1/chat/completions"
        answer = (await api.post(path, json=body | {"max_tokens": 1})).json()
        assert answer["usage"]["prompt_tokens"] == told["count"]
    assert [record.prompt_tokens for record in await books.records()] == counts
    assert counts[0] < counts[1]
    continued = chat("hi", add_generation_prompt=False)
    assert (await api.post("/tokenize", json=continued)).json()["count"] < counts[0]


async def test_a_long_text_comes_whole(api: httpx.AsyncClient) -> None:
    text = "".join(f"{number} is a number; " for number in range(2000))
    asked = {"prompt": text, "return_token_strs": True}
    told = (await api.post("/tokenize", json=asked)).json()
    assert told["count"] == len(told["tokens"]) > 2 * PIECE
    assert "".join(told["token_strs"]) == text
    again = (await api.post("/detokenize", json={"tokens": told["tokens"]})).json()
    assert again == {"prompt": text}


async def test_others_have_their_turn_while_a_long_answer_is_written() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await _spell(list(range(10 * PIECE)))
    beside.cancel()
    assert turns >= 9


async def test_who_names_no_model_means_the_first(api: httpx.AsyncClient) -> None:
    assert (await api.post("/tokenize", json={"prompt": "a"})).json()["tokens"] == [97]
    assert (await api.post("/detokenize", json={"tokens": [97]})).json() == {"prompt": "a"}
    assert (await api.get("/tokenizer_info")).json()["model"] == "starter"


async def test_a_model_without_a_template_renders_no_messages(
    api: httpx.AsyncClient, encoders: service.Service
) -> None:
    plain = await api.post("/tokenize", json={"model": "vectors", "prompt": "a"})
    assert plain.status_code == 200
    refused = await api.post("/tokenize", json=chat(model="vectors"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "not_a_chat_model")


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}, 400,
         "prompt"),
        ("/tokenize", {"prompt": ["a"]}, 400, "prompt"),
        ("/tokenize", {"messages": [{"role": "user"}]}, 400, "messages[0].content"),
        ("/tokenize", {"model": "gpt-9", "prompt": "a"}, 404, "model"),
        ("/tokenize", {"prompt": "a", "add_special_tokens": 0}, 400, "add_special_tokens"),
        ("/tokenize", {"prompt": "a", "chat_template": "b"}, 400, "chat_template"),
        ("/tokenize", chat(continue_final_message=True), 400, "continue_final_message"),
        ("/detokenize", {"tokens": "a"}, 400, "tokens"),
        ("/detokenize", {"tokens": [1, -1]}, 400, "tokens[1]"),
        ("/detokenize", {"tokens": [True]}, 400, "tokens[0]"),
        ("/detokenize", {"tokens": [10**6]}, 400, "tokens"),
        ("/detokenize", {"model": "gpt-9", "tokens": [1]}, 404, "model"),
    ],
)  # fmt: skip
async def test_bad_input_is_refused_by_its_name(
    api: httpx.AsyncClient, path: str, body: dict[str, object], status: int, param: str
) -> None:
    response = await api.post(path, json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)
