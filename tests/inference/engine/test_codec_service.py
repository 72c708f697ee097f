"""Encoding and decoding stand in nobody's way."""

import asyncio
import threading
from typing import Any, cast

import pytest

from inference.engine.codec import Chat, Codec
from inference.engine.codec_service import LONG_PROMPT_BYTES, SHORT_PROMPT_BYTES, CodecServicer
from inference.engine.listening import LoopServer
from inference.engine.wire import engine_pb2

MIDDLING = "x" * SHORT_PROMPT_BYTES
LONG = "x" * (LONG_PROMPT_BYTES + 1)


class Gated:
    """A codec for which long texts take until they are let through."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.num_on_event_loop = 0

    def encode_text(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        self.num_on_event_loop += threading.current_thread() is threading.main_thread()
        if len(text) > LONG_PROMPT_BYTES:
            assert self.gate.wait(10)
        return [len(text)]

    def decode(self, token_ids: list[int]) -> str:
        if len(token_ids) > LONG_PROMPT_BYTES:
            assert self.gate.wait(10)
        return str(len(token_ids))


class Framed(Gated):
    """A codec that puts 1 before a text and 2 after it; a chat's template writes what it needs."""

    frame = ((1,), (2,))

    def encode_text(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [1, 5, 2] if add_special_tokens else [5]

    def encode_chat(self, chat: Chat) -> list[int]:
        return [7]


@pytest.mark.parametrize(
    ("wanted", "text", "chat"),
    [(None, [1, 5, 2], [7]), (True, [1, 5, 2], [1, 7, 2]), (False, [5], [7])],
)
async def test_special_tokens_stand_where_they_are_wanted(
    wanted: bool | None, text: list[int], chat: list[int]
) -> None:
    servicer = make_servicer(Framed())
    of_text = engine_pb2.TokenizeRequest(text="a", add_special_tokens=wanted)
    assert (await servicer.Tokenize(of_text)).token_ids == text
    of_chat = engine_pb2.TokenizeRequest(chat=engine_pb2.ChatPrompt(), add_special_tokens=wanted)
    assert (await servicer.Tokenize(of_chat)).token_ids == chat


async def test_short_prompts_do_not_wait_for_long_ones() -> None:
    codec = Gated()
    servicer = make_servicer(codec)
    long = [asyncio.create_task(servicer.Tokenize(prompt(LONG))) for _ in range(4)]
    await asyncio.sleep(0)  # they begin
    try:
        async with asyncio.timeout(5):
            for text in ("short", MIDDLING):
                assert (await servicer.Tokenize(prompt(text))).token_ids == [len(text)]
        assert not any(task.done() for task in long)
    finally:
        codec.gate.set()
    assert [list(reply.token_ids) for reply in await asyncio.gather(*long)] == [[len(LONG)]] * 4


@pytest.mark.parametrize("text", ["short", MIDDLING])
async def test_only_a_short_prompt_is_encoded_on_the_event_loop(text: str) -> None:
    codec = Gated()
    reply = await make_servicer(codec).Tokenize(prompt(text))
    assert reply.token_ids == [len(text)]
    assert codec.num_on_event_loop == (text == "short")


async def test_a_burst_of_short_prompts_is_no_short_one() -> None:
    codec = Gated()
    servicer = make_servicer(codec)
    texts = [f"{n:040}" for n in range(100)]
    replies = await asyncio.gather(*(servicer.Tokenize(prompt(text)) for text in texts))
    assert [list(reply.token_ids) for reply in replies] == [[40]] * 100
    assert 0 < codec.num_on_event_loop <= SHORT_PROMPT_BYTES / 40
    await servicer.Tokenize(prompt("short"))  # in another turn of the loop
    before = codec.num_on_event_loop
    await servicer.Tokenize(prompt("short"))
    assert codec.num_on_event_loop == before + 1


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


def prompt(text: str) -> engine_pb2.TokenizeRequest:
    return engine_pb2.TokenizeRequest(text=text)


def make_servicer(codec: Gated) -> CodecServicer:
    listener = LoopServer(cast("Any", None))
    return CodecServicer(listener, cast("Codec", codec), vocab_size=10)
