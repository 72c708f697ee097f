"""Chat completions: whole and streamed."""

import httpx

from accounts.models import Organisation
from tests.inference.api.events import stream
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.conftest import Books, chat

PATH = "/v1/chat/completions"


async def test_it_answers_and_bills_what_it_counted(
    api: httpx.AsyncClient, books: Books, organisation: Organisation, schema: OpenAISchema
) -> None:
    response = await api.post(PATH, json=chat("hello", max_tokens=20))
    assert response.status_code == 200, response.text
    answer = response.json()
    schema.check("CreateChatCompletionResponse", answer)
    [choice] = answer["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"].startswith('You wrote: "hello"')
    tokenized = await api.post("/tokenize", json=chat("hello"))
    record = await books.record()
    assert answer["usage"]["prompt_tokens"] == record.prompt_tokens == tokenized.json()["count"]
    assert answer["usage"]["completion_tokens"] == record.output_tokens == 20
    # A tenth of a dollar per million tokens of input, four tenths of output.
    assert record.cost_nanos == record.prompt_tokens * 100 + 20 * 400
    assert float(response.headers["x-request-cost"]) == record.cost_nanos / 1e9
    balance = await books.balance(organisation.id)
    assert balance.posted_nanos == 10 * 10**9 - record.cost_nanos
    assert float(response.headers["x-credit-remaining"]) == balance.available_nanos / 1e9
    assert (record.endpoint, record.face, record.outcome) == ("chat.completions", "api", "finished")
    await books.audit()


async def test_it_carries_the_headers_of_the_contract(api: httpx.AsyncClient) -> None:
    response = await api.post(
        PATH, json=chat(max_tokens=1, top_p=1, made_up=1, other=None, more={})
    )
    headers = response.headers
    assert headers["x-request-id"].startswith("req_")
    assert headers["openai-version"]
    assert int(headers["openai-processing-ms"]) >= 0
    assert headers["x-ignored-fields"] == "made_up,more"
    assert headers["x-ratelimit-limit-requests"] == "30000"
    assert int(headers["x-ratelimit-remaining-tokens"]) < 20_000_000
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


async def test_headers_that_mean_something_to_openai_alone_are_ignored(
    api: httpx.AsyncClient,
) -> None:
    sent = {
        "openai-organization": "org-of-somebody-else", "openai-project": "proj_1",
        "openai-beta": "assistants=v2", "x-stainless-retry-count": "3",
    }  # fmt: skip
    response = await api.post(PATH, json=chat(max_tokens=1), headers=sent)
    assert response.status_code == 200, response.text
    assert "x-ignored-fields" not in response.headers


async def test_it_streams_in_the_order_of_the_contract(
    api: httpx.AsyncClient, schema: OpenAISchema, books: Books
) -> None:
    body = chat("hi", max_tokens=12, stream_options={"include_usage": True})
    events = await stream(api, PATH, body)
    assert events.done
    assert events.error is None
    for chunk in events.chunks:
        schema.check("CreateChatCompletionStreamResponse", chunk)
    first, *middle, finish, usage = events.chunks
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(chunk["usage"] is None for chunk in (first, *middle, finish))
    assert finish["choices"][0] == {
        "index": 0, "delta": {}, "logprobs": None, "finish_reason": "length",
    }  # fmt: skip
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 12
    same = ("id", "created", "model", "system_fingerprint")
    assert len({tuple(chunk[name] for name in same) for chunk in events.chunks}) == 1
    whole = await api.post(PATH, json=chat("hi", max_tokens=12))
    assert whole.json()["system_fingerprint"] == first["system_fingerprint"]
    assert first["system_fingerprint"].startswith("fp_")
    assert events.text == whole.json()["choices"][0]["message"]["content"]
    assert len(await books.settled(2)) == 2


async def test_a_stream_without_options_has_no_usage(api: httpx.AsyncClient) -> None:
    events = await stream(api, PATH, chat(max_tokens=2))
    assert all("usage" not in chunk for chunk in events.chunks)
    assert all(len(chunk["choices"]) == 1 for chunk in events.chunks)


async def test_it_counts_along_when_asked_to(api: httpx.AsyncClient) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    events = await stream(api, PATH, chat(max_tokens=5, stream_options=options))
    counts = [chunk["usage"]["completion_tokens"] for chunk in events.chunks]
    assert counts == sorted(counts)
    assert counts[-1] == 5


async def test_it_tells_what_was_cached_from_the_first_chunk_on(api: httpx.AsyncClient) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = chat("a prompt that is longer than a block " * 8, max_tokens=5, stream_options=options)
    told = []
    for _ in range(2):
        events = await stream(api, PATH, body)
        details = [chunk["usage"]["prompt_tokens_details"] for chunk in events.chunks]
        told.append({found["cached_tokens"] for found in details})
    assert told[0] == {0}
    [cached] = told[1]
    assert cached > 0


async def test_it_samples_several_answers(api: httpx.AsyncClient, books: Books) -> None:
    answer = (await api.post(PATH, json=chat(max_tokens=4, n=3))).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["completion_tokens"] == 12
    record = await books.record()
    one = await api.post("/tokenize", json=chat())
    assert record.prompt_tokens == one.json()["count"]  # billed once
    events = await stream(api, PATH, chat(max_tokens=4, n=3))
    assert events.finish_reasons == ["length"] * 3
    roles = [c["choices"][0]["index"] for c in events.chunks if "role" in c["choices"][0]["delta"]]
    assert roles == [0, 1, 2]


async def test_it_stops_at_a_stop_sequence_and_never_shows_it(
    api: httpx.AsyncClient, books: Books
) -> None:
    body = chat("hi", max_tokens=50, stop=["needs"], logprobs=True)
    answer = (await api.post(PATH, json=body)).json()
    [choice] = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == 'You wrote: "hi". This is the stand-in engine: it '
    spelt = "".join(entry["token"] for entry in choice["logprobs"]["content"])
    assert spelt == choice["message"]["content"]
    # The hidden tokens were sampled, and are billed.
    assert answer["usage"]["completion_tokens"] > len(choice["logprobs"]["content"])
    events = await stream(api, PATH, body)
    assert events.text == choice["message"]["content"]
    streamed = [
        entry["token"]
        for chunk in events.chunks
        for c in chunk["choices"]
        for entry in (c["logprobs"] or {"content": []})["content"]
    ]
    assert "".join(streamed) == events.text


async def test_it_reports_log_probabilities(api: httpx.AsyncClient, schema: OpenAISchema) -> None:
    body = chat("hi", max_tokens=300, logprobs=True, top_logprobs=3)
    answer = (await api.post(PATH, json=body)).json()
    schema.check("CreateChatCompletionResponse", answer)
    [choice] = answer["choices"]
    content = choice["logprobs"]["content"]
    assert b"".join(bytes(e["bytes"]) for e in content).decode() == choice["message"]["content"]
    assert all(len(entry["top_logprobs"]) == 3 for entry in content)
    assert choice["finish_reason"] == "stop"


async def test_it_takes_text_parts_names_and_every_role(api: httpx.AsyncClient) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": [{"type": "text", "text": "very"}]},
        {"role": "user", "name": "alice", "content": [
            {"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "user", "content": "again"},
    ]  # fmt: skip
    response = await api.post(
        PATH, json={"model": "starter", "messages": messages, "max_tokens": 30}
    )
    assert response.status_code == 200, response.text
    assert '"again"' in response.json()["choices"][0]["message"]["content"]


async def test_null_is_absent_and_harmless_values_pass(api: httpx.AsyncClient) -> None:
    body = chat(
        max_tokens=1, stop=None, n=None, temperature=None, stream=None, seed=None, tools=[],
        tool_choice="none", functions=None, response_format={"type": "text"}, modalities=["text"],
        logit_bias=None, user="u", metadata={"k": "v"}, service_tier="auto", store=False,
        prompt_cache_key="k", parallel_tool_calls=True, top_k=-1, ignore_eos=True, min_tokens=1,
        min_p=0.1, repetition_penalty=1.1, logprobs=False, top_logprobs=0,
        stream_options=None, seed_=None,
    )  # fmt: skip
    response = await api.post(PATH, json=body)
    assert response.status_code == 200, response.text
    assert "x-ignored-fields" not in response.headers


async def test_an_alias_resolves_to_the_served_model(api: httpx.AsyncClient) -> None:
    answer = (await api.post(PATH, json=chat(model="gpt-4o-mini", max_tokens=1))).json()
    assert answer["model"] == "starter"


async def test_without_max_tokens_the_answer_ends_by_itself(
    api: httpx.AsyncClient, books: Books
) -> None:
    answer = (await api.post(PATH, json=chat())).json()
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert (await books.record()).output_tokens == answer["usage"]["completion_tokens"] > 50
