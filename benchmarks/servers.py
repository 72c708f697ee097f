"""Starts, watches and stops a server that is measured.

One at a time, each in a process group of its own, with an environment that holds nothing of the
caller's but what is named here. What it prints goes to a log in its folder.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.client import Answer, Ask, RequestError, post, read_answer

REPOSITORY = Path(__file__).parents[1]
START_S = 900.0  # vLLM compiles first
READY_S = 300.0
STOP_S = 60.0
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True)
class Job:
    """What a server is to serve, and how it will be asked."""

    model: Path  # folder of the checkpoint
    context: int
    concurrency: int  # the most that will run at a time
    output_tokens: int
    temperature: float
    extra_args: Sequence[str] = ()


class Server(ABC):
    """One engine behind HTTP. A subclass says how it starts and what it wants to be told."""

    name: str
    env: dict[str, str] = {}

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder = job, folder
        self.port = free_port()
        self.log = folder / "log"
        self.headers: dict[str, str] = {}

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def versions(self) -> dict[str, str]: ...

    def prepare(self) -> None:
        """Do what comes before the start."""
        self.folder.mkdir(parents=True)

    def model_name(self) -> str:
        return str(self.job.model)

    def dtype(self) -> str:
        return "bfloat16"

    def body(self) -> dict[str, Any]:
        """Return what a request says beside its prompt."""
        return {
            "model": self.model_name(),
            "max_tokens": self.job.output_tokens,
            "temperature": self.job.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
        }

    def describe(self) -> dict[str, Any]:
        return {
            "versions": self.versions(),
            "command": [
                Path(part).name if part.startswith("/") else part for part in self.command()
            ],
            "environment": {name: Path(v).name for name, v in self.env.items()},
            "request": {k: v for k, v in self.body().items() if k != "model"},
        }

    def environment(self) -> dict[str, str]:
        own = {name: os.environ[name] for name in KEPT if name in os.environ}
        return own | {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"} | self.env

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Ask]:
        """Start it, wait until it answers a request, and stop it afterwards."""
        self.prepare()
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                self.command(),
                env=self.environment(),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            async with self.connected() as ask:
                await self._answers(process, ask)
                yield ask
        except (OSError, RequestError) as error:
            status = "runs still" if process.poll() is None else f"ended with {process.poll()}"
            reason = f"{type(error).__name__} {error}"
            raise RequestError(f"{self.name} ({status}): {reason}\n{self.tail()}") from error
        finally:
            stop(process)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Ask]:
        """Yield what asks this server; `read` makes sense of what it returns."""
        url, body = f"http://127.0.0.1:{self.port}/v1/completions", self.body()

        async def ask(prompt: str) -> Any:
            return await post(url, self.headers, body | {"prompt": prompt})

        yield ask

    def read(self, raw: Any) -> Answer:
        return read_answer(raw)

    async def _answers(self, process: subprocess.Popen[bytes], ask: Ask) -> None:
        deadline = time.monotonic() + START_S
        while True:
            if process.poll() is not None:
                raise RequestError("It ended before it was ready.")
            try:
                async with asyncio.timeout(READY_S):
                    self.read(await ask("Once upon a time"))
                return
            except (OSError, RequestError):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.5)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and whatever it started."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def commit() -> str:
    """Return the revision of ours that is measured."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
