"""An engine of two ranks, each a process, over gloo."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.inference.engine.test_process import engine

# A budget of 24 cuts the long prompts into chunks; the second half shares its beginning.
OPTIONS = ("--device", "cpu", "--token-budget", "24", "--max-running", "6", "--block-size", "8")


@asynccontextmanager
async def two_ranks(checkpoint: Path, socket: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Serve a checkpoint, and yield the first rank's process."""
    options = ("--path", str(checkpoint), *OPTIONS, "--tensor-parallel", "2", "--threads", "1")
    # Two processes load, and other tests keep the cores busy.
    async with engine(socket, *options, patience_s=180) as process:
        yield process


def children(pid: int) -> list[int]:
    """Processes that `pid` started, other than Python's own helpers."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in found}
    return [child for child, line in lines.items() if "spawn_main" in line]


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


async def ends_when_killed(pair: asyncio.subprocess.Process, rank: int) -> None:
    os.kill(rank, signal.SIGKILL)
    assert await asyncio.wait_for(pair.wait(), 30) == 70
