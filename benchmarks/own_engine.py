"""One engine process of ours and a client of its protocol, for what HTTP would hide."""

import asyncio
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import REPOSITORY, stop
from inference.client import EngineLink
from inference.engine.params import SamplingParams
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire.messages import sampling_to_wire

READY = re.compile(r"listening on (\S+)")
VOCABULARY = 4096  # ids that every measured model has


@dataclass
class OwnEngine:
    """A running engine. `ready_s`: from its start until it listened."""

    process: subprocess.Popen[str]
    link: EngineLink
    ready_s: float

    def memory_mib(self) -> float:
        """Return the memory that the process holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


@asynccontextmanager
async def own_engine(
    model: Path, *flags: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[OwnEngine]:
    """Start an engine for the checkpoint `model`, connect to it, and stop it afterwards."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "inference.engine", "--model", "bench", "--path", str(model),
         "--listen", "127.0.0.1:0", "--parent-pid", str(os.getpid()), *flags],
        cwd=REPOSITORY, env={**os.environ, "HF_HUB_OFFLINE": "1", **(env or {})},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        ready_s = time.perf_counter() - began
        found = READY.search(line)
        if found is None:
            raise OSError("The engine did not start.")
        link = EngineLink("bench", found[1])
        while not link.healthy:
            await asyncio.sleep(0.05)
        try:
            yield OwnEngine(process, link, ready_s)
        finally:
            await link.close()
    finally:
        stop(process)


async def stats(link: EngineLink) -> wire.EngineStats:
    """Ask the engine itself, not for what it said last."""
    info: wire.EngineInfo = await link._ask_info()  # noqa: SLF001
    return info.stats


def random_prompt(chosen: random.Random, length: int) -> list[int]:
    return chosen.choices(range(3, VOCABULARY), k=length)


class Ticks:
    """Sends one sequence; notes when its tokens came, and how it ended. Times: `perf_counter`."""

    def __init__(
        self, link: EngineLink, prompt: list[int], params: SamplingParams, **more: str
    ) -> None:
        self.at: list[float] = []
        self.token_ids: list[int] = []
        self.ended: asyncio.Future[wire.SequenceDelta] = asyncio.Future()
        self._link = link
        submit = wire.Submit(
            request_id="bench", prompt_token_ids=prompt, sampling=sampling_to_wire(params),
            **{"tenant": "bench", **more},
        )  # fmt: skip
        self.sent_at = time.perf_counter()
        self._sequence_id = link.submit(submit, self)

    def cancel(self) -> None:
        self._link.cancel(self._sequence_id)

    def on_delta(self, delta: wire.SequenceDelta) -> None:
        if delta.token_ids:
            self.at.append(time.perf_counter())
            self.token_ids += delta.token_ids
        if delta.finish_reason != wire.FINISH_NONE and not self.ended.done():
            self.ended.set_result(delta)

    def on_lost(self) -> None:
        if not self.ended.done():
            self.ended.set_exception(OSError("The engine was lost."))
