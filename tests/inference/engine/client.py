"""A small client of the engine's protocol, for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from inference.engine.params import SamplingParams
from inference.engine.wire import calling, engine_pb2
from inference.engine.wire.errors import CallError, Code
from inference.engine.wire.messages import sampling_to_wire
from inference.engine.wire.methods import GENERATE, METHODS
from tests.inference.engine.rig import Outcome


class Stub:
    """Every method of the protocol by its name, over one connection."""

    def __init__(self, caller: calling.Caller) -> None:
        self.caller = caller

    def __getattr__(self, name: str) -> Any:
        def call(request: Any, timeout: float | None = None) -> "asyncio.Task[Any]":
            return asyncio.ensure_future(self.caller.call(METHODS[name], request, timeout))

        return call


class Stream:
    """One `Generate` call and what it brought."""

    def __init__(self, stub: Stub) -> None:
        self.call = stub.caller.open(GENERATE, self)
        self.outcomes: dict[int, Outcome] = {}
        self.num_frames = 0
        self.ended: asyncio.Future[Code | None] = asyncio.get_running_loop().create_future()
        self._transport = stub.caller._transport
        self._changed = asyncio.Event()

    def stall(self) -> None:
        """Read nothing until `read`."""
        self._transport.pause_reading()

    def read(self) -> None:
        """Go on reading frames."""
        self._transport.resume_reading()

    def on_message(self, frame: engine_pb2.StepFrame) -> None:
        self.num_frames += 1
        for delta in frame.deltas:
            self.outcomes[delta.sequence_id].take(delta)
        self._changed.set()

    def on_end(self, error: CallError | None) -> None:
        self.ended.set_result(None if error is None else error.code)
        self._changed.set()

    async def submit(self, token_ids: list[int], tenant: str = "alice", **params: Any) -> Outcome:
        number = len(self.outcomes) + 1
        self.outcomes[number] = Outcome()
        params.setdefault("temperature", 0.0)
        deadline_s = params.pop("deadline_s", 0.0)
        submit = engine_pb2.Submit(
            sequence_id=number,
            tenant=tenant,
            prompt_token_ids=token_ids,
            sampling=sampling_to_wire(SamplingParams(**params)),
            deadline_ms=round(deadline_s * 1000),
        )
        self.call.write(engine_pb2.ClientFrame(submits=[submit]))
        return self.outcomes[number]

    async def cancel(self, number: int) -> None:
        cancel = engine_pb2.Cancel(sequence_id=number)
        self.call.write(engine_pb2.ClientFrame(cancels=[cancel]))

    async def until(self, condition: Any, seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def finish(self) -> None:
        """Wait until every sequence has ended."""
        await self.until(lambda: all(outcome.finish for outcome in self.outcomes.values()))


@contextlib.asynccontextmanager
async def connect(address: str) -> AsyncIterator[Stub]:
    caller = await calling.connect_to(address, 20)
    try:
        yield Stub(caller)
    finally:
        caller.abort()
        await caller.lost


@contextlib.asynccontextmanager
async def open_stream(stub: Stub, read: bool = True) -> AsyncIterator[Stream]:
    stream = Stream(stub)
    if not read:
        stream.stall()
    try:
        yield stream
    finally:
        stream.call.cancel()


async def stats(stub: Stub) -> engine_pb2.EngineStats:
    info = await stub.Info(engine_pb2.InfoRequest(), timeout=10)
    return info.stats


async def refusal_of_info(stub: Stub) -> Code:
    """Ask how the engine is until it no longer answers; how it failed to."""
    async with asyncio.timeout(60):
        while True:
            try:
                await stub.Info(engine_pb2.InfoRequest(), timeout=0.3)
            except CallError as error:
                return error.code


async def eventually(stub: Stub, condition: Any) -> engine_pb2.EngineStats:
    """Poll the engine's numbers until they satisfy `condition`."""
    async with asyncio.timeout(60):
        while not condition(numbers := await stats(stub)):
            await asyncio.sleep(0.01)
    return numbers
