"""What the engine's schedule means to callers: tiers, and prompts found in its cache."""

import asyncio

import httpx
from prometheus_client import REGISTRY

from billing import pricing
from billing.models import Transfer
from inference import catalog, service
from inference.engine.wire import engine_pb2 as wire
from portal.lib.db import db
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.conftest import Books, chat

CHAT = "/v1/chat/completions"


async def submitted(
    running: service.Service, api: httpx.AsyncClient, path: str, body: dict[str, object]
) -> wire.Submit:
    """Send a request and catch what the engine is told."""
    link = running.pool.pick("starter")
    assert link is not None
    told: list[wire.Submit] = []
    submit = link.submit

    def watched(message: wire.Submit, sink: object) -> int:
        told.append(message)
        return submit(message, sink)  # type: ignore[arg-type]

    link.submit = watched  # type: ignore[method-assign]
    try:
        assert (await api.post(path, json=body)).status_code == 200
    finally:
        link.submit = submit  # type: ignore[method-assign]
    [message] = told
    return message


async def test_the_flex_tier_waits_behind_the_others(
    running: service.Service, api: httpx.AsyncClient, schema: OpenAISchema
) -> None:
    body = {"model": "starter", "prompt": "a", "max_tokens": 1}
    for path, fields in ((CHAT, chat(max_tokens=1)), ("/v1/completions", body)):
        normal = await submitted(running, api, path, fields)
        flex = await submitted(running, api, path, fields | {"service_tier": "flex"})
        assert flex.priority > normal.priority == 0
        assert flex.deadline_ms == normal.deadline_ms == 3_600_000
    for tier, answered in (("flex", "flex"), ("auto", "default"), ("priority", "default")):
        answer = (await api.post(CHAT, json=chat(max_tokens=1, service_tier=tier))).json()
        schema.check("CreateChatCompletionResponse", answer)
        assert answer["service_tier"] == answered


async def test_a_second_turn_finds_the_first_in_the_cache(
    running: service.Service, api: httpx.AsyncClient, books: Books
) -> None:
    turns = [{"role": "user", "content": "Tell me about the weather in the mountains, please."}]
    body = {"model": "starter", "messages": turns, "max_tokens": 40}
    first = (await api.post(CHAT, json=body)).json()
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    said = first["choices"][0]["message"]["content"]
    turns += [{"role": "assistant", "content": said}, {"role": "user", "content": "And the sea?"}]
    usage = (await api.post(CHAT, json=body)).json()["usage"]
    found = usage["prompt_tokens_details"]["cached_tokens"]
    # Whole blocks of the first prompt and of the answer to it.
    assert first["usage"]["prompt_tokens"] <= found < usage["prompt_tokens"]
    records = await books.settled(2)
    assert [record.cached_tokens for record in records] == [0, found]
    assert records[1].uncached_tokens == usage["prompt_tokens"] - found


async def test_the_hit_rate_is_shown_to_operators(
    running: service.Service, api: httpx.AsyncClient
) -> None:
    body = chat("What does it cost, and who pays for it in the end?", max_tokens=2)
    for _ in range(2):
        assert (await api.post(CHAT, json=body)).status_code == 200
    link = running.pool.pick("starter")
    assert link is not None
    told: wire.EngineInfo = await link._ask_info()
    while link.info is None or link.info.stats.steps < told.stats.steps:
        await asyncio.sleep(0.05)
    stats = link.info.stats
    rate = stats.cached_prompt_tokens / (stats.cached_prompt_tokens + stats.prompt_tokens)
    assert 0 < rate < 1
    assert service.loads()["starter"].cache_hit_rate == rate
    labels = {"gen_ai_request_model": "starter", "engine": link.address}
    shown = REGISTRY.get_sample_value("parlance_engine_prefix_cache_hit_ratio", labels)
    assert shown == rate
    await link.close()
    assert REGISTRY.get_sample_value("parlance_engine_prefix_cache_hit_ratio", labels) is None


async def test_the_flex_tier_costs_its_part_of_the_price(
    running: service.Service, api: httpx.AsyncClient, books: Books
) -> None:
    def halve_the_flex_tier() -> None:
        price = pricing.current_price("starter")
        pricing.set_price(
            "starter", price.input_nanos_per_mtok, price.cached_input_nanos_per_mtok,
            price.output_nanos_per_mtok, flex_multiplier_bp=5_000,
        )  # fmt: skip
        catalog.forget()

    await db(halve_the_flex_tier)
    for tier in ("default", "flex"):
        answer = await api.post(CHAT, json=chat(max_tokens=3, service_tier=tier))
        assert answer.status_code == 200
    dear, cheap = await books.records()
    assert (dear.service_tier, cheap.service_tier) == ("default", "flex")
    assert (dear.multiplier_bp, cheap.multiplier_bp) == (10_000, 5_000)
    price = await db(pricing.current_price, "starter")
    assert cheap.cost_nanos == pricing.cost_nanos(
        price, uncached=cheap.uncached_tokens, cached=cheap.cached_tokens,
        output=cheap.output_tokens, multiplier_bp=5_000,
    )  # fmt: skip
    lines = await db(lambda: list(Transfer.objects.filter(kind="usage").order_by("pk")))
    assert [line.description for line in lines] == ["starter", "starter · flex"]
    offered = (await api.get("/v1/models/starter")).json()
    assert offered["pricing"]["flex_multiplier_bp"] == 5_000
    await books.audit()
