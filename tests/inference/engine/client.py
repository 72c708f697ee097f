"""A small client of the engine's protocol, for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from inference.engine.params import SamplingParams
from inference.engine.wire import engine_pb2, engine_pb2_grpc
from inference.engine.wire.messages import sampling_to_wire
from tests.inference.engine.rig import Outcome


class Stream:
    """One `Generate` call and what it brought."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.outcomes: dict[int, Outcome] = {}
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    def read(self) -> None:
        """Start reading frames. Until then the stream is a stalled reader."""
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            async for frame in self.call:
                for delta in frame.deltas:
                    self.outcomes[delta.sequence_id].take(delta)
                self._changed.set()
        self._changed.set()

    async def submit(self, token_ids: list[int], tenant: str = "alice", **params: Any) -> Outcome:
        number = len(self.outcomes) + 1
        self.outcomes[number] = Outcome()
        params.setdefault("temperature", 0.0)
        submit = engine_pb2.Submit(
            sequence_id=number,
            tenant=tenant,
            prompt_token_ids=token_ids,
            sampling=sampling_to_wire(SamplingParams(**params)),
        )
        await self.call.write(engine_pb2.ClientFrame(submits=[submit]))
        return self.outcomes[number]

    async def cancel(self, number: int) -> None:
        cancel = engine_pb2.Cancel(sequence_id=number)
        await self.call.write(engine_pb2.ClientFrame(cancels=[cancel]))

    async def until(self, condition: Any, seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def finish(self) -> None:
        """Wait until every sequence has ended."""
        await self.until(lambda: all(outcome.finish for outcome in self.outcomes.values()))


@contextlib.asynccontextmanager
async def connect(address: str) -> AsyncIterator[engine_pb2_grpc.EngineStub]:
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 20)
        yield engine_pb2_grpc.EngineStub(channel)


@contextlib.asynccontextmanager
async def open_stream(stub: engine_pb2_grpc.EngineStub, read: bool = True) -> AsyncIterator[Stream]:
    stream = Stream(stub.Generate())
    if read:
        stream.read()
    try:
        yield stream
    finally:
        stream.call.cancel()
        if stream._reader is not None:
            await asyncio.wait([stream._reader])


async def tokenize(
    stub: engine_pb2_grpc.EngineStub, *requests: engine_pb2.TokenizeRequest
) -> list[engine_pb2.TokenizeReply]:
    """Ask in one frame of a stream of its own; the replies in the order of the requests."""
    call: Any = stub.Generate()
    for number, request in enumerate(requests):
        request.call_id = number
    await call.write(engine_pb2.ClientFrame(tokenize=requests))
    replies: dict[int, engine_pb2.TokenizeReply] = {}
    while len(replies) < len(requests):
        frame = await asyncio.wait_for(call.read(), 20)
        assert not frame.deltas
        replies |= {reply.call_id: reply for reply in frame.tokenized}
    call.cancel()
    return [replies[number] for number in range(len(requests))]


async def stats(stub: engine_pb2_grpc.EngineStub) -> engine_pb2.EngineStats:
    info = await stub.Info(engine_pb2.InfoRequest(), timeout=10)
    return info.stats


async def eventually(stub: engine_pb2_grpc.EngineStub, condition: Any) -> engine_pb2.EngineStats:
    """Poll the engine's numbers until they satisfy `condition`."""
    async with asyncio.timeout(60):
        while not condition(numbers := await stats(stub)):
            await asyncio.sleep(0.01)
    return numbers
