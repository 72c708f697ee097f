"""Messages as clients of all ages send them back: older calls of functions, refusals, cut calls."""

from typing import Any

import httpx
import pytest

from inference.api.chat_messages import Message
from inference.tool_prompts import CALL as CALL_FORM

PATH = "/v1/chat/completions"
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


async def test_older_clients_call_functions_and_give_results_back_by_their_names(
    api: httpx.AsyncClient,
) -> None:
    function = {"name": "get_weather", "arguments": '{"city": "Bern"}'}
    result = {"content": "sunny", "name": "get_weather"}
    call = {"id": "get_weather", "type": "function", "function": function}
    older = [{"role": "assistant", "function_call": function}, {"role": "function", **result}]
    newer = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "get_weather", **result},
    ]
    assert await encoded(api, *older) == await encoded(api, *newer)
    messages = (older[0] | {"tool_calls": None}, newer[0] | {"function_call": None})
    first, second = [Message.model_validate(message) for message in messages]
    assert first.to_chat_message(0) == second.to_chat_message(0)


async def test_what_a_model_refused_is_its_text(api: httpx.AsyncClient) -> None:
    for content, text in ((None, "I must not."), ("Hm.", "Hm.\nI must not.")):
        said = {"role": "assistant", "content": content, "refusal": "I must not."}
        plain = {"role": "assistant", "content": text, "refusal": None}
        assert await encoded(api, said) == await encoded(api, plain)


@pytest.mark.parametrize("arguments", ['{"city": "Be', "[1]", "null", '{"a": 1, "a": 2}', "Bern"])
async def test_a_call_that_was_cut_goes_on_as_it_was(
    api: httpx.AsyncClient, arguments: str
) -> None:
    call = CALL | {"function": {"name": "f", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "Go on."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    answer = await api.post(PATH, json={"model": "starter", "messages": messages, "max_tokens": 1})
    assert answer.status_code == 200, answer.text
    written = CALL_FORM.replace("NAME", "f").replace("ARGUMENTS", arguments)
    said = {"role": "assistant", "content": written}
    assert await encoded(api, *messages) == await encoded(api, messages[0], said)


async def test_arguments_of_nothing_are_an_empty_object(api: httpx.AsyncClient) -> None:
    calls = [CALL | {"function": {"name": "f", "arguments": text}} for text in ("", "  ", "{}")]
    tokens = [await encoded(api, {"role": "assistant", "tool_calls": [call]}) for call in calls]
    assert tokens[0] == tokens[1] == tokens[2]


async def encoded(api: httpx.AsyncClient, *messages: dict[str, Any]) -> list[int]:
    counted = await api.post("/tokenize", json={"messages": messages})
    assert counted.status_code == 200, counted.text
    token_ids: list[int] = counted.json()["tokens"]
    return token_ids
