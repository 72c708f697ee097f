"""The benchmark's client: streams as engines write them, however the network cuts them."""

import asyncio
import json
from typing import Any

import pytest

from benchmarks.client import Answer, RawAnswer, RequestError, drive, post, read_answer

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
USAGE = {"prompt_tokens": 101, "completion_tokens": 3, "total_tokens": 104}


def event(data: Any) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return f"data: {text}\n\n".encode()


def token(text: str, **more: Any) -> bytes:
    return event({"choices": [{"index": 0, "text": text}], **more})


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


END = chunk(b"")
STREAM = [
    HEAD + chunk(token("One", usage=None)),
    chunk(token(" two\n\n")),
    chunk(token(" three")) + chunk(event({"choices": [], "usage": USAGE})),
    chunk(event("[DONE]")) + END,
]


def timed(pieces: list[bytes]) -> RawAnswer:
    return RawAnswer(0.5, [(float(at), piece) for at, piece in enumerate(pieces, start=1)])


def test_it_notes_when_tokens_came_and_takes_their_number_from_the_usage() -> None:
    assert read_answer(timed(STREAM)) == Answer(0.5, [1.0, 2.0, 3.0], 101, 3)


def test_an_event_comes_with_its_last_byte() -> None:
    raw = b"".join(STREAM)
    end_of_second = raw.index(b" two") + len(b' two\\n\\n"}]}\n\n\r\n')
    answer = read_answer(timed([raw[:10], raw[10 : end_of_second - 3], raw[end_of_second - 3 :]]))
    assert answer.arrivals == [2.0, 3.0]


def test_it_reads_a_stream_that_comes_byte_by_byte() -> None:
    raw = b"".join(STREAM)
    answer = read_answer(timed([raw[at : at + 1] for at in range(len(raw))]))
    assert (len(answer.arrivals), answer.prompt_tokens, answer.output_tokens) == (3, 101, 3)


def test_tokens_that_come_together_are_one_arrival() -> None:
    both = chunk(token("One") + token(" two"))
    last = chunk(token("", usage=USAGE)) + END
    assert read_answer(timed([HEAD + both, last])).arrivals == [1.0]


REFUSAL = b'HTTP/1.1 429 Too Many Requests\r\n\r\n{"error": "slow down"}'
ERROR = chunk(event({"error": {"message": "out of memory"}}))


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        pytest.param([], "Not a whole stream", id="nothing"),
        pytest.param(STREAM[:3], "Not a whole stream", id="cut off"),
        pytest.param([*STREAM[:2], END], "Not a whole stream", id="no usage"),
        pytest.param([REFUSAL], "slow down", id="refused"),
        pytest.param([*STREAM[:2], ERROR + END], "out of memory", id="error event"),
    ],
)
def test_what_is_not_a_whole_answer_is_an_error(pieces: list[bytes], reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        read_answer(timed(pieces))


async def test_it_keeps_as_many_requests_under_way_as_asked() -> None:
    under_way, seen = 0, []

    async def ask(prompt: str) -> Answer:
        nonlocal under_way
        under_way += 1
        seen.append(under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return Answer(0.0, [1.0], len(prompt), 1)

    run = await drive(["a", "bb", "ccc", "dddd", "eeeee"], 2, ask, lambda raw: raw)
    assert sorted(answer.prompt_tokens for answer in run.answers) == [1, 2, 3, 4, 5]
    assert max(seen) == 2
    assert run.wall_s > 0


async def test_one_refused_request_ends_the_run() -> None:
    async def ask(prompt: str) -> Answer:
        raise RequestError(prompt)

    with pytest.raises(RequestError, match="no"):
        await drive(["no"] * 3, 2, ask, lambda raw: raw)


async def test_it_posts_json_and_reads_until_the_server_closes() -> None:
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append((head, json.loads(await reader.read(1000))))
        for piece in STREAM:
            writer.write(piece)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/v1/completions"
        raw = await post(url, {"authorization": "Bearer x"}, {"prompt": "hello"})
    assert read_answer(raw).output_tokens == 3
    ((head, body),) = asked
    assert head.startswith(b"POST /v1/completions HTTP/1.1\r\n")
    assert b"authorization: Bearer x\r\n" in head
    assert body == {"prompt": "hello"}
