"""Two ranks over gloo say what one process says; neither lives without the other."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from transformers import GPT2Config, LlamaConfig

from inference.engine.__main__ import build_parser, build_served
from inference.engine.parallel import check_divides
from tests.inference.engine.checkpoint import write_checkpoint
from tests.inference.engine.client import connect, open_stream, stats
from tests.inference.engine.rig import Outcome
from tests.inference.engine.test_process import ROOT, engine

# A budget of 24 cuts the long prompts into chunks; the second half shares its beginning.
OPTIONS = ("--device", "cpu", "--token-budget", "24", "--max-running", "6", "--block-size", "8")
BEGINNING = [7 * n % 250 for n in range(40)]
PROMPTS = [[3], list(range(90)), *([*BEGINNING, n, 2 * n] for n in range(5))]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return folder


async def answers(socket: Path) -> list[Outcome]:
    """The first prompts together, then the rest, which find a beginning in the cache."""
    async with connect(f"unix:{socket}") as stub, open_stream(stub) as stream:
        found = []
        for group in (PROMPTS[:3], PROMPTS[3:]):
            found += [await stream.submit(prompt, max_tokens=20) for prompt in group]
            await stream.finish()
        assert (await stats(stub)).kv_blocks_used == 0
        return found


def children(pid: int) -> list[int]:
    """Processes that `pid` started, other than Python's own helpers."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in found}
    return [child for child, line in lines.items() if "spawn_main" in line]


@pytest.fixture
async def pair(checkpoint: Path, tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    options = ("--path", str(checkpoint), *OPTIONS, "--tensor-parallel", "2", "--threads", "1")
    # Two processes load, and other tests keep the cores busy.
    async with engine(tmp_path / "e", *options, patience_s=180) as process:
        yield process


@pytest.mark.slow
async def test_two_ranks_give_the_tokens_of_one_until_one_of_them_is_killed(
    pair: asyncio.subprocess.Process, checkpoint: Path, tmp_path: Path
) -> None:
    divided = await answers(tmp_path / "e")
    async with engine(tmp_path / "one", "--path", str(checkpoint), *OPTIONS):
        whole = await answers(tmp_path / "one")
    assert [outcome.token_ids for outcome in divided] == [outcome.token_ids for outcome in whole]
    assert all(len(outcome.token_ids) == 20 or outcome.finish for outcome in divided)
    assert sum((outcome.cached_tokens or 0) > 0 for outcome in divided) == len(PROMPTS[3:])
    [rank] = children(pair.pid)
    await ends_when_killed(pair, rank)


async def ends_when_killed(pair: asyncio.subprocess.Process, rank: int) -> None:
    os.kill(rank, signal.SIGKILL)
    assert await asyncio.wait_for(pair.wait(), 30) == 70


@pytest.mark.slow
async def test_the_engine_ends_when_a_rank_is_killed_in_the_middle_of_an_answer(
    pair: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    [rank] = children(pair.pid)
    async with connect(f"unix:{tmp_path}/e") as stub, open_stream(stub) as stream:
        outcome = await stream.submit([1, 2], max_tokens=400, ignore_eos=True)
        await stream.until(lambda: len(outcome.token_ids) > 5)
        await ends_when_killed(pair, rank)


@pytest.mark.slow
async def test_a_rank_ends_with_the_engine(pair: asyncio.subprocess.Process) -> None:
    [rank] = children(pair.pid)
    pair.kill()
    await pair.wait()
    async with asyncio.timeout(30):
        while alive(rank):
            await asyncio.sleep(0.05)


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_what_it_cannot_be_combined_with_is_refused(checkpoint: Path) -> None:
    line = ["--path", str(checkpoint), "--tensor-parallel", "2", "--quantize", "int8"]
    with pytest.raises(ValueError, match="cannot be combined"):
        build_served(build_parser().parse_args(line))


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_heads_that_cannot_be_divided_are_refused() -> None:
    llama = {"num_attention_heads": 6, "num_key_value_heads": 3, "hidden_size": 48}
    check_divides(LlamaConfig(**llama), 3)
    with pytest.raises(ValueError, match="3 key-value heads, which 2 ranks"):
        check_divides(LlamaConfig(**llama), 2)
    with pytest.raises(ValueError, match="6 attention heads, which 4 ranks"):
        check_divides(LlamaConfig(**llama), 4)
    with pytest.raises(ValueError, match="no tensor-parallel plan for gpt2"):
        check_divides(GPT2Config(), 2)
