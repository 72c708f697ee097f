"""Encoding and decoding stand in nobody's way."""

import asyncio
import threading
from typing import Any, cast

import pytest

from inference.engine.codec import Codec
from inference.engine.codec_service import LONG_PROMPT_BYTES, SHORT_FRAME_BYTES, CodecServicer
from inference.engine.listening import LoopServer
from inference.engine.wire import engine_pb2

LONG = "x" * (LONG_PROMPT_BYTES + 1)


class Gated:
    """A codec for which long texts take until they are let through."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.on_event_loop = False

    def encode_text(self, text: str) -> list[int]:
        self.on_event_loop |= threading.current_thread() is threading.main_thread()
        if len(text) > LONG_PROMPT_BYTES:
            assert self.gate.wait(10)
        return [len(text)]

    def decode(self, token_ids: list[int]) -> str:
        if len(token_ids) > LONG_PROMPT_BYTES:
            assert self.gate.wait(10)
        return str(len(token_ids))


async def test_short_prompts_do_not_wait_for_long_ones() -> None:
    codec = Gated()
    servicer = make_servicer(codec)
    texts = [LONG] * 4 + ["short"]
    requests = [
        engine_pb2.TokenizeRequest(text=text, call_id=number) for number, text in enumerate(texts)
    ]
    frames: list[engine_pb2.StepFrame] = []
    jobs = servicer.tokenize(requests, frames.append)
    try:
        await asyncio.wait(jobs, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)
        assert [reply.call_id for frame in frames for reply in frame.tokenized] == [4]
    finally:
        codec.gate.set()
    await asyncio.wait(jobs)
    await asyncio.sleep(0)
    others = [reply.call_id for frame in frames[1:] for reply in frame.tokenized]
    assert sorted(others) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "texts", [["short"], ["x" * SHORT_FRAME_BYTES], ["short"] * SHORT_FRAME_BYTES]
)
async def test_only_a_short_frame_is_encoded_on_the_event_loop(texts: list[str]) -> None:
    codec = Gated()
    requests = [engine_pb2.TokenizeRequest(text=text) for text in texts]
    frames: list[engine_pb2.StepFrame] = []
    jobs = make_servicer(codec).tokenize(requests, frames.append)
    assert bool(frames) == (texts == ["short"])
    if jobs:
        await asyncio.wait(jobs)
        await asyncio.sleep(0)
    replies = [reply for frame in frames for reply in frame.tokenized]
    assert [list(reply.token_ids) for reply in replies] == [[len(text)] for text in texts]
    assert codec.on_event_loop == (texts == ["short"])


async def test_the_event_loop_turns_while_ids_are_decoded() -> None:
    codec = Gated()
    servicer = make_servicer(codec)
    many = engine_pb2.DetokenizeRequest(token_ids=[1] * (LONG_PROMPT_BYTES + 1))
    decoding = asyncio.create_task(servicer.Detokenize(many))
    await asyncio.sleep(0)  # it begins
    few = engine_pb2.DetokenizeRequest(token_ids=[1, 1])
    try:
        async with asyncio.timeout(5):
            assert (await servicer.Detokenize(few)).text == "2"
        assert not decoding.done()
    finally:
        codec.gate.set()
    assert (await decoding).text == str(LONG_PROMPT_BYTES + 1)


def make_servicer(codec: Gated) -> CodecServicer:
    listener = LoopServer(cast("Any", None))
    return CodecServicer(listener, cast("Codec", codec), vocab_size=10)
