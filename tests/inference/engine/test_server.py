"""The engine behind a real unix socket, with the fake runner."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from inference.engine import fake
from inference.engine.fake import FakeOptions
from inference.engine.fake_codec import FakeCodec
from inference.engine.limits import SchedulerLimits
from inference.engine.server import EngineServer
from inference.engine.wire import engine_pb2
from inference.engine.wire.errors import CallError, Code
from tests.inference.engine.client import connect, eventually, open_stream, stats
from tests.inference.engine.desk import check

CODEC = FakeCodec()


async def test_it_streams_many_sequences_over_one_stream(socket: str) -> None:
    async with (
        fake.running(FakeOptions(text="Grüße, 你好!"), socket) as (address, server),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        outcomes = [await stream.submit([n], max_tokens=100) for n in range(20)]
        await stream.finish()
        assert {outcome.text for outcome in outcomes} == {"Grüße, 你好!"}
        check(server.served.scheduler)
        numbers = await stats(stub)
        assert numbers.generated_tokens == sum(len(o.token_ids) for o in outcomes)


async def test_it_says_what_it_serves(socket: str) -> None:
    async with (
        fake.running(FakeOptions(model="m"), socket) as (address, _),
        connect(address) as stub,
    ):
        info = await stub.Info(engine_pb2.InfoRequest())
        assert (info.model, info.device, info.dtype) == ("m", "cpu", "float32")
        assert info.vocab_size == CODEC.vocab_size
        assert info.has_chat_template
        assert list(info.eos_token_ids) == list(CODEC.eos_token_ids)
        assert not info.draining


async def test_it_tokenizes_text_and_chats_and_back(socket: str) -> None:
    async with fake.running(None, socket) as (address, _), connect(address) as stub:
        request = engine_pb2.TokenizeRequest(text="Grüße <|end|>", with_tokens=True)
        reply = await stub.Tokenize(request)
        assert list(reply.token_ids) == CODEC.encode_text("Grüße <|end|>")
        assert len(reply.tokens) == len(reply.token_ids)
        back = await stub.Detokenize(engine_pb2.DetokenizeRequest(token_ids=reply.token_ids))
        assert back.text == "Grüße <|end|>"
        chat = engine_pb2.ChatPrompt(
            messages=[engine_pb2.ChatMessage(role="user", content="hi", extra_json='{"a": 1}')],
            add_generation_prompt=True,
        )
        reply = await stub.Tokenize(engine_pb2.TokenizeRequest(chat=chat))
        assert CODEC.decode(list(reply.token_ids)) == "<|start|>user\nhi<|end|><|start|>assistant\n"


@pytest.mark.parametrize(
    "chat",
    [
        engine_pb2.ChatPrompt(messages=[engine_pb2.ChatMessage(content="hi", extra_json="[1]")]),
        engine_pb2.ChatPrompt(messages=[engine_pb2.ChatMessage(content="hi", extra_json="{")]),
        engine_pb2.ChatPrompt(tools_json='{"not": "a list"}'),
    ],
    ids=["extra is a list", "extra is no JSON", "tools are no list"],
)
async def test_it_answers_a_callers_mistake_with_a_sentence(
    socket: str, chat: engine_pb2.ChatPrompt
) -> None:
    async with fake.running(None, socket) as (address, _), connect(address) as stub:
        with pytest.raises(CallError, match=r"must be a JSON|Expecting") as refusal:
            await stub.Tokenize(engine_pb2.TokenizeRequest(chat=chat))
        assert refusal.value.code is Code.INVALID_ARGUMENT
        encoded = await stub.Tokenize(engine_pb2.TokenizeRequest(text="fine"))
        assert list(encoded.token_ids) == CODEC.encode_text("fine")


async def test_it_detokenizes_no_ids_outside_the_vocabulary(socket: str) -> None:
    async with fake.running(None, socket) as (address, _), connect(address) as stub:
        with pytest.raises(CallError, match="outside the vocabulary"):
            await stub.Detokenize(engine_pb2.DetokenizeRequest(token_ids=[10**6]))


async def test_it_refuses_sampling_out_of_range_with_a_sentence(socket: str) -> None:
    async with (
        fake.running(None, socket) as (address, _),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        outcome = await stream.submit([1], max_tokens=5)
        submit = engine_pb2.Submit(sequence_id=9, prompt_token_ids=[1])
        submit.sampling.max_tokens, submit.sampling.temperature = 5, 9.0
        stream.outcomes[9] = type(outcome)()
        stream.call.write(engine_pb2.ClientFrame(submits=[submit]))
        await stream.finish()
        assert stream.outcomes[9].finish == "FINISH_ERROR"
        assert "temperature" in stream.outcomes[9].error


@pytest.fixture
async def slow(socket: str) -> AsyncIterator[Any]:
    options = FakeOptions(text="a" * 2000, tokens_per_second=200)
    async with fake.running(options, socket) as (address, server), connect(address) as stub:
        yield stub, server


def steps_of(server: EngineServer) -> int:
    return server.loop.statistics._steps


async def test_a_cancelled_sequence_stops_within_two_steps_and_the_others_go_on(slow: Any) -> None:
    stub, server = slow
    async with open_stream(stub) as stream:
        first = await stream.submit([1], max_tokens=1000)
        second = await stream.submit([2], max_tokens=60)
        await stream.until(lambda: len(first.token_ids) >= 3)
        await stream.cancel(1)
        await stream.until(lambda: bool(first.finish))
        assert first.finish == "FINISH_CANCELLED"
        count = len(first.token_ids)
        await stream.finish()
        assert len(first.token_ids) == count < 50
        assert len(second.token_ids) == 60
        check(server.served.scheduler)


async def test_a_stream_that_ends_takes_its_sequences_with_it_within_two_steps(slow: Any) -> None:
    stub, server = slow
    async with open_stream(stub) as staying:
        kept = await staying.submit([1], max_tokens=100)
        async with open_stream(stub) as leaving:
            gone = [await leaving.submit([n], max_tokens=1000) for n in range(3)]
            await leaving.until(lambda: all(outcome.token_ids for outcome in gone))
        await staying.until(lambda: len(server.served.scheduler.running) == 1)
        at_hangup = max(len(outcome.token_ids) for outcome in gone)
        await staying.finish()
        assert len(kept.token_ids) == 100
        overrun = (await stats(stub)).generated_tokens - 100 - 3 * at_hangup
        # What crossed the wire after the last frame we read, and two steps.
        assert overrun <= 3 * 6


async def test_a_slow_reader_sets_the_pace_and_loses_nothing(socket: str) -> None:
    """A web process with a flood of log-probabilities to read: the other requests it runs live."""
    limits = SchedulerLimits(max_model_len=8192, token_budget=512)
    options = FakeOptions(text="a" * 300_000, limits=limits, num_blocks=65536)
    async with (
        fake.running(options, socket) as (address, server),
        connect(address) as stub,
        connect(address) as other,
        open_stream(other) as neighbour,
        open_stream(stub, read=False) as slow,
    ):
        flood = [await slow.submit([n], max_tokens=1500, logprobs=20) for n in range(40)]
        async with asyncio.timeout(30):
            while not any(sequence.held for sequence in server.served.scheduler.running):
                await asyncio.sleep(0.01)
        outcome = await neighbour.submit([1], max_tokens=200)
        await neighbour.finish()
        assert len(outcome.token_ids) == 200
        slow.read()
        await slow.finish()
        assert [len(outcome.token_ids) for outcome in flood] == [1500] * 40
        assert not any(sequence.held for sequence in server.served.scheduler.running)


async def test_a_stalled_reader_loses_its_stream_and_memory_stays_bounded(
    socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.engine.wire.answering.STOPPED_S", 0.5)
    limits = SchedulerLimits(max_model_len=8192, token_budget=512)
    options = FakeOptions(text="a" * 300_000, limits=limits, num_blocks=65536)
    async with (
        fake.running(options, socket) as (address, _),
        connect(address) as stub,
        connect(address) as other,
        open_stream(other) as neighbour,
        open_stream(stub, read=False) as stalled,
    ):
        for n in range(40):
            await stalled.submit([n], max_tokens=8000, logprobs=20, ignore_eos=True)
        outcome = await neighbour.submit([1], max_tokens=200)
        await neighbour.finish()
        assert len(outcome.token_ids) == 200
        await eventually(other, lambda n: n.num_running == n.num_waiting == n.kv_blocks_used == 0)
        stalled.read()
        assert await stalled.ended is Code.RESOURCE_EXHAUSTED


async def test_it_refuses_quickly_when_its_queue_is_full(socket: str) -> None:
    limits = SchedulerLimits(max_model_len=512, max_running=2, max_waiting=2)
    options = FakeOptions(text="a" * 100, tokens_per_second=100, limits=limits)
    async with (
        fake.running(options, socket) as (address, _),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        outcomes = [await stream.submit([n], max_tokens=10) for n in range(8)]
        await stream.until(lambda: sum(bool(o.finish) for o in outcomes) >= 4)
        refused = [o for o in outcomes if o.finish == "FINISH_OVERLOADED"]
        assert len(refused) == 4
        assert not any(outcome.token_ids for outcome in refused)
        await stream.finish()


async def test_draining_lets_running_sequences_end_and_refuses_new_ones(
    slow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, server = slow
    monkeypatch.setattr("inference.engine.listening.NOTICE_S", 0.2)
    async with open_stream(stub) as stream:
        running = await stream.submit([1], max_tokens=40)
        await stream.until(lambda: len(running.token_ids) > 2)
        drain = asyncio.create_task(_drain(stub))
        while not server.loop.draining:
            await asyncio.sleep(0.005)
        late = await stream.submit([2], max_tokens=5)
        await stream.finish()
        await drain
        assert (running.finish, len(running.token_ids)) == ("FINISH_LENGTH", 40)
        assert late.finish == "FINISH_OVERLOADED"


async def test_an_engine_that_leaves_takes_what_comes_until_its_clients_know(slow: Any) -> None:
    stub, server = slow
    async with open_stream(stub) as stream:
        assert (await stream.submit([1], max_tokens=1)) is not None
        drain = asyncio.create_task(_drain(stub))
        while not (await stub.Info(engine_pb2.InfoRequest())).draining:
            await asyncio.sleep(0.005)
        unaware = await stream.submit([2], max_tokens=5)
        await stream.finish()
        assert unaware.finish == "FINISH_LENGTH"
    await drain
    assert server.loop.draining


async def _drain(stub: Any) -> None:
    await stub.Drain(engine_pb2.DrainRequest(), timeout=20)


async def test_a_poisoned_request_fails_alone(socket: str) -> None:
    options = FakeOptions(text="fine", fail_on="poison")
    async with (
        fake.running(options, socket) as (address, _),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        prompts = ["one", "a poison pill", "three"]
        outcomes = [await stream.submit(CODEC.encode_text(p), max_tokens=20) for p in prompts]
        await stream.finish()
        assert [outcome.text for outcome in outcomes] == ["fine", "", "fine"]
        assert outcomes[1].finish == "FINISH_ERROR"


async def test_odd_pieces_lose_nothing(socket: str) -> None:
    options = FakeOptions(text="Grüße, 你好 and so on", odd_pieces=True)
    async with (
        fake.running(options, socket) as (address, _),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        outcomes = [await stream.submit([n], max_tokens=100, stop=("so",)) for n in range(3)]
        await stream.finish()
        for outcome in outcomes:
            assert outcome.text == "Grüße, 你好 and "
            assert CODEC.decode(outcome.token_ids).startswith("Grüße, 你好 and so")
            assert len(outcome.deltas) < len(outcome.token_ids)


async def test_it_refuses_a_flood_of_stop_strings(socket: str) -> None:
    async with (
        fake.running(None, socket) as (address, _),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        outcome = await stream.submit([1], max_tokens=4, stop=("abcdefgh" * 32,) * 1000)
        await stream.finish()
        assert outcome.finish == "FINISH_ERROR"
        assert "stop" in outcome.error


async def test_it_gives_an_idle_engine_no_work(socket: str) -> None:
    async with fake.running(None, socket) as (address, server), connect(address) as stub:
        await stats(stub)
        before = server.loop.scheduler._step
        await asyncio.sleep(0.2)
        assert server.loop.scheduler._step == before
        assert steps_of(server) == 0
