"""How an engine of two ranks ends, whichever of them dies and when; a start takes half a minute."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.inference.engine.checkpoint import write_checkpoint
from tests.inference.engine.client import connect, open_stream
from tests.inference.engine.ranks import OPTIONS, alive, children, ends_when_killed, two_ranks
from tests.inference.engine.test_process import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return folder


@pytest.fixture
async def pair(checkpoint: Path, tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    async with two_ranks(checkpoint, tmp_path / "e") as process:
        yield process


async def test_the_engine_ends_when_a_rank_is_killed_in_the_middle_of_an_answer(
    pair: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    [rank] = children(pair.pid)
    async with connect(f"unix:{tmp_path}/e") as stub, open_stream(stub) as stream:
        outcome = await stream.submit([1, 2], max_tokens=400, ignore_eos=True)
        await stream.until(lambda: len(outcome.token_ids) > 5)
        await ends_when_killed(pair, rank)


async def test_a_rank_ends_with_the_engine(pair: asyncio.subprocess.Process) -> None:
    [rank] = children(pair.pid)
    pair.kill()
    await pair.wait()
    async with asyncio.timeout(30):
        while alive(rank):
            await asyncio.sleep(0.05)


async def test_a_rank_that_still_loads_ends_with_the_engine(
    checkpoint: Path, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "inference.engine", "--listen", f"unix:{tmp_path}/e", "--path", str(checkpoint)),
        *(*OPTIONS, "--tensor-parallel", "2"),
        cwd=ROOT,
    )
    async with asyncio.timeout(180):
        while not children(process.pid):
            await asyncio.sleep(0.02)
        [rank] = children(process.pid)
        process.kill()
        await process.wait()
        while alive(rank):
            await asyncio.sleep(0.05)


async def test_it_says_why_it_cannot_serve(checkpoint: Path, tmp_path: Path) -> None:
    options = ("--path", str(checkpoint), "--tensor-parallel", "2", "--max-model-len", "9999")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inference.engine", "--listen", f"unix:{tmp_path}/e", *options,
        cwd=ROOT, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 2
    said = "engine: The model was made for at most 512 tokens, not 9999."
    assert said in errors.decode().splitlines()
