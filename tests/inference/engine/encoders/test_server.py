"""The encoder behind a real unix socket: the fake, and a process with a real model."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from inference.engine.encoders.fake import MASK, FakeEncoder, FakeEncoderOptions, build
from inference.engine.encoders.jobs import EncoderLimits
from inference.engine.encoders.server import EncoderServer
from inference.engine.wire import engine_pb2
from inference.engine.wire.errors import Code
from tests.environment import REPOSITORY
from tests.inference.engine.client import (
    Stub,
    connect,
    eventually,
    open_stream,
    refusal_of_info,
)
from tests.inference.engine.encoders.checkpoints import write_encoder


@asynccontextmanager
async def running(folder: Path, **options: object) -> AsyncIterator[tuple[Stub, EncoderServer]]:
    served = build(FakeEncoderOptions(**options))  # type: ignore[arg-type]
    server = EncoderServer(served)
    address = await server.start(f"unix:{folder}/engine")
    try:
        async with connect(address) as stub:
            yield stub, server
    finally:
        assert isinstance(served.encoder, FakeEncoder)
        served.encoder.awake.set()
        await asyncio.shield(server.stop(grace_s=1.0))


def job(*inputs: list[int], **more: object) -> engine_pb2.EncoderJob:
    encoded = [engine_pb2.TokenIds(ids=ids) for ids in inputs]
    return engine_pb2.EncoderJob(tenant="alice", inputs=encoded, **more)


async def embed(stub: Stub, *inputs: list[int]) -> engine_pb2.EmbedReply:
    return await stub.Embed(engine_pb2.EmbedRequest(job=job(*inputs)))


async def test_it_says_what_it_serves(tmp_path: Path) -> None:
    async with running(tmp_path, kind="fill_mask", model="m") as (stub, _):
        info = await stub.Info(engine_pb2.InfoRequest())
        assert (info.model, info.kind, info.max_model_len) == ("m", engine_pb2.KIND_FILL_MASK, 512)
        assert (info.mask_token, info.dimensions) == (MASK, 0)


async def test_it_embeds_what_it_tokenized(tmp_path: Path) -> None:
    async with running(tmp_path) as (stub, _):
        texts = ["abc", "abd", "the zoo"]
        encoded = await stub.TokenizeAll(engine_pb2.TokenizeAllRequest(texts=texts))
        one = await stub.Tokenize(engine_pb2.TokenizeRequest(text="the zoo"))
        inputs = [list(each.ids) for each in encoded.encoded]
        assert inputs[2] == list(one.token_ids)
        reply = await embed(stub, *inputs)
        assert reply.end.finish_reason == engine_pb2.FINISH_STOP
        assert reply.end.num_tokens == sum(map(len, inputs))
        table = np.frombuffer(reply.vectors, "<f4").reshape(3, reply.dimensions)
        np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1, atol=1e-6)
        again = np.frombuffer((await embed(stub, inputs[1])).vectors, "<f4")
        np.testing.assert_array_equal(again, table[1])


async def test_it_fills_masks_and_finds_tokens(tmp_path: Path) -> None:
    async with running(tmp_path, kind="fill_mask") as (stub, _):
        encoded = await stub.TokenizeAll(
            engine_pb2.TokenizeAllRequest(texts=[f"ab{MASK}", f"{MASK}, {MASK}", "x"])
        )
        inputs = [list(each.ids) for each in encoded.encoded]
        reply = await stub.FillMask(engine_pb2.FillMaskRequest(job=job(*inputs), top_k=2))
        assert [(mask.input, mask.position) for mask in reply.masks] == [(0, 2), (1, 0), (1, 2)]
        assert [(c.token, c.probability, c.sequence) for c in reply.masks[0].candidates] == [
            ("b", 0.5, "abb"), ("c", 0.25, "abc"),
        ]  # fmt: skip
        found = await stub.FindTokens(engine_pb2.FindTokensRequest(texts=["a", "ab", "zz"]))
        assert [each.token_id if each.HasField("token_id") else None for each in found.found] == [
            97, None, None,
        ]  # fmt: skip


async def test_a_poisoned_input_fails_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "inference.engine.encoders.loop")
    async with running(tmp_path, fail_on="poison", tokens_per_second=2000) as (stub, _):
        calls = [embed(stub, [97, 98]) for _ in range(8)]
        poisoned = job([97], list(b"poison"), request_id="req_7")
        bad = stub.Embed(engine_pb2.EmbedRequest(job=poisoned))
        *good, failed = await asyncio.gather(*calls, bad)
        assert {reply.end.finish_reason for reply in good} == {engine_pb2.FINISH_STOP}
        assert failed.end.finish_reason == engine_pb2.FINISH_ERROR
        assert "input 1 " in failed.end.error
        assert not failed.vectors
    assert "request req_7 fails: The engine could not compute input 1 " in caplog.text


async def test_a_caller_that_goes_away_takes_its_inputs_along(tmp_path: Path) -> None:
    limits = EncoderLimits(max_model_len=100, token_budget=100, max_waiting_tokens=100_000)
    async with running(tmp_path, tokens_per_second=500, limits=limits) as (stub, server):
        call = stub.Embed(engine_pb2.EmbedRequest(job=job(*[[97] * 100] * 100)))
        await eventually(stub, lambda stats: stats.steps >= 1)
        call.cancel()
        stats = await eventually(stub, lambda stats: stats.num_waiting == 0)
        assert stats.steps < 20
        assert server.loop.queue.num_tokens == 0


async def test_its_stream_stays_open_and_generates_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as (stub, _), open_stream(stub) as stream:
        outcome = await stream.submit([1], max_tokens=5)
        await stream.finish()
        assert outcome.finish == "FINISH_ERROR"
        assert "generates no text" in outcome.error
        assert not stream.ended.done()


async def test_what_another_kind_does_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with running(tmp_path) as (stub, _):
        reply = await stub.FillMask(engine_pb2.FillMaskRequest(job=job([1])))
        assert reply.end.finish_reason == engine_pb2.FINISH_ERROR
        assert "does something else" in reply.end.error


async def test_a_hung_encoder_answers_no_health_check(tmp_path: Path) -> None:
    async with running(tmp_path, hang_after=0) as (stub, _):
        call = stub.Embed(engine_pb2.EmbedRequest(job=job([1])))
        assert await refusal_of_info(stub) is Code.DEADLINE_EXCEEDED
        call.cancel()


async def test_a_real_process_embeds_and_drains_on_sigterm(tmp_path: Path) -> None:
    write_encoder(tmp_path / "model")
    address = f"unix:{tmp_path}/engine"
    command = [sys.executable, "-m", "inference.engine", "--path", str(tmp_path / "model")]
    command += ["--listen", address, "--device", "cpu", "--threads", "1"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 90)
        assert line.startswith(b"engine ready: model (float32 on cpu)")
        async with connect(address) as stub:
            reply = await embed(stub, [2, 5, 3], [2, 6, 7, 3])
            assert len(reply.vectors) == 2 * 32 * 4
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize(
    "module", ["inference.engine.encoders.fake", "inference.engine.encoders.server"]
)
def test_the_queue_the_server_and_the_fake_import_no_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit(bool({{'torch', 'django'}} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)
