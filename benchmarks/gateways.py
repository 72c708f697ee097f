"""The gateways that are measured, each started on one core with what it talks to on the other."""

import asyncio
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.client import RequestError
from benchmarks.keep_alive import load, spell_request
from benchmarks.peers import versions_of
from benchmarks.servers import KEPT, REPOSITORY, commit, free_port, stop

READY_S = 120.0
ROOMY = ("--max-running", "1024", "--kv-blocks", "65536")  # of the engine
FAKE_TEXT = (
    "Yes, and so on. "  # or it would make one up for each request, which is no engine's work
)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Gateway(ABC):
    """One server in front of an engine. A subclass says how both start."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        self.headers: dict[str, str] = {}
        self.env: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    @abstractmethod
    def versions() -> dict[str, str]: ...

    @abstractmethod
    def command(self) -> Sequence[str]: ...

    @contextmanager
    def upstream(self) -> Iterator[None]:
        """What it asks for answers."""
        yield

    def prepare(self) -> None:  # noqa: B027  most have nothing to do
        """Do what comes before the start."""

    def body(self, message: str) -> dict[str, Any]:
        return {
            "model": "starter",
            "messages": [{"role": "user", "content": message}],
            "max_tokens": 1,
        }

    @contextmanager
    def running(self, core: int) -> Iterator[None]:
        with self.upstream():
            self.prepare()
            with self.started(["taskset", "--cpu-list", str(core), *self.command()]) as process:
                self.process = process
                yield

    @contextmanager
    def started(
        self, command: Sequence[str], env: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=REPOSITORY, env=self.environment() | dict(env or {}),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            stop(process)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def environment(self) -> dict[str, str]:
        own = {name: os.environ[name] for name in KEPT if name in os.environ}
        return own | {"DO_NOT_TRACK": "1"} | self.env

    async def ready(self) -> None:
        request = spell_request(self.url, self.headers, self.body("Are you there?"))
        deadline = asyncio.get_running_loop().time() + READY_S
        while True:
            try:
                await load(self.url, request, 1, 0.001)
                return
            except* (OSError, RequestError, EOFError) as group:
                if asyncio.get_running_loop().time() > deadline:
                    tail = self.log.read_text(errors="replace")[-2000:]
                    raise RequestError(f"{self.name}: {group.exceptions[0]}\n{tail}") from None
            await asyncio.sleep(0.3)

    def cpu_s(self) -> float:
        """Processor time that the server has used, in seconds."""
        assert self.process is not None
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / TICKS_PER_S

    def memory_kib(self) -> int:
        """Memory that the server holds."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])


class Parlance(Gateway):
    """The whole product on SQLite with its jobs; the engine recites."""

    name = "parlance"

    @staticmethod
    def versions() -> dict[str, str]:
        return {"commit": commit(), **versions_of(sys.executable, "django", "channels")}

    def __init__(
        self, folder: Path, tokens_per_s: float = 0.0, sizes: Sequence[str] = ROOMY
    ) -> None:
        super().__init__(folder)
        self.tokens_per_s = tokens_per_s
        self.sizes = sizes
        self.engine = f"unix:{folder / 'engine.sock'}"  # as `serve` starts its own
        self.env = {
            "DATA_DIR": str(folder / "data"),
            "PORT": str(self.port),
            "LOG_JSON": "true",  # as in production; lines for people cost more
            "ENGINES": f"starter={self.engine}",
            "RATE_LIMIT_TIERS": "bench:0:10000000:1000000000",
        }

    def command(self) -> list[str]:
        return [sys.executable, "manage.py", "serve"]

    @contextmanager
    def upstream(self) -> Iterator[None]:
        command = [
            sys.executable, "-m", "inference.engine", "--fake", "--model", "starter",
            "--listen", self.engine, "--fake-tokens-per-second", str(self.tokens_per_s),
            "--fake-text", FAKE_TEXT, *self.sizes,
        ]  # fmt: skip
        with self.started(command):
            yield

    def prepare(self) -> None:
        (self.folder / "data").mkdir()
        self.manage("migrate", "--verbosity", "0")
        key = self.issue_key("bench@example.com", "100000")
        self.headers = {"authorization": f"Bearer {key}"}

    def issue_key(self, email: str, credit: str) -> str:
        said = self.manage("issuekey", "--email", email, "--name", "bench", "--credit", credit)
        return said.split()[-1]

    def manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=REPOSITORY, env=self.environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RequestError(f"manage.py {command[0]}: {done.stderr[-2000:]}")
        return done.stdout


class Bare(Gateway):
    """The floor: uvicorn and an application that does nothing."""

    name = "bare"

    @staticmethod
    def versions() -> dict[str, str]:
        return versions_of(sys.executable, "uvicorn")

    def command(self) -> list[str]:
        return bare_command(self.port)


class LiteLLM(Gateway):
    """The proxy as its documentation starts it, with a master key and no database."""

    name = "litellm"

    @staticmethod
    def versions() -> dict[str, str]:
        return versions_of(peers.python_of("litellm"), "litellm")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.upstream_port = free_port()
        self.env = {"LITELLM_MASTER_KEY": "sk-bench", "LITELLM_LOG": "ERROR"}
        self.headers = {"authorization": "Bearer sk-bench"}

    def command(self) -> list[str]:
        python = peers.python_of("litellm")
        return [
            str(python.with_name("litellm")), "--config", str(self.folder / "config.yaml"),
            "--host", "127.0.0.1", "--port", str(self.port), "--num_workers", "1",
        ]  # fmt: skip

    def prepare(self) -> None:
        (self.folder / "config.yaml").write_text(
            "model_list:\n"
            "  - model_name: starter\n"
            "    litellm_params:\n"
            "      model: openai/starter\n"
            f"      api_base: http://127.0.0.1:{self.upstream_port}/v1\n"
            "      api_key: none\n"
        )

    @contextmanager
    def upstream(self) -> Iterator[None]:
        with self.started(bare_command(self.upstream_port)):
            yield


def bare_command(port: int) -> list[str]:
    return [
        sys.executable, "-m", "uvicorn", "benchmarks.bare_app:app", "--host", "127.0.0.1",
        "--port", str(port), "--log-level", "warning", "--no-access-log",
    ]  # fmt: skip


GATEWAYS: dict[str, type[Gateway]] = {each.name: each for each in (Parlance, LiteLLM, Bare)}
