"""Fake engines as real processes, on the sockets where the web side looks for them."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference import catalog
from inference.engine.wire.asking import ask
from inference.engine.wire.engine_pb2 import InfoRequest
from inference.engine.wire.errors import CallError
from inference.engine.wire.methods import INFO
from tests.environment import REPOSITORY


class FakeEngine:
    """One `python -m inference.engine --fake` process."""

    source = ("--fake",)
    start_timeout_s = 120.0

    def __init__(
        self, model: str, number: int = 1, folder: Path | None = None, **options: object
    ) -> None:
        """On the socket of its model's engine of this number, or on one in `folder`."""
        self.model = model
        own = None if folder is None else f"unix:{folder / model}.sock"
        self.address = own or catalog.local_address(model, number)
        self.socket = Path(self.address.removeprefix("unix:"))
        self.log_path = self.socket.with_suffix(".log")
        self.options = options
        self.flags: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "FakeEngine":
        assert not self._is_served(), f"an engine of another test serves at {self.address}"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "inference.engine", *self.source]
        command += ["--model", self.model, "--listen", self.address]
        for name, value in self.options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        command += self.flags
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        self._wait_until_serving()
        return self

    def _is_served(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def _wait_until_serving(self) -> None:
        deadline = time.monotonic() + self.start_timeout_s
        while True:
            try:
                ask(self.address, INFO, InfoRequest(), timeout_s=2)
            except CallError:
                assert time.monotonic() < deadline, "the engine did not start"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """Ask it to finish what it runs and to end."""
        assert self.process is not None
        self.process.terminate()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


class RealEngine(FakeEngine):
    """One engine with the shipped model."""

    source = ("--path", "inference/starter", "--device", "cpu", "--threads", "1")
    start_timeout_s = 120.0


# A token of the slow model takes 20 ms: slow enough to act while it speaks.
SLOW_TOKENS_PER_S = 50


@pytest.fixture(scope="session")
def starter_engine() -> Iterator[FakeEngine]:
    engine = FakeEngine("starter", max_model_len=2048).start()
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def slow_engine() -> Iterator[FakeEngine]:
    text = "the quick brown fox jumps over the lazy dog and " * 100
    engine = FakeEngine(
        "slow", max_model_len=2048, fake_tokens_per_second=SLOW_TOKENS_PER_S, fake_text=text
    ).start()
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def caller_engine() -> Iterator[FakeEngine]:
    """Says something, and calls a tool where it may."""
    call = '{"name": "get_weather", "arguments": {"city": "Bern"}}'
    text = f"I look. <tool_call>\n{call}\n</tool_call>"
    engine = FakeEngine("caller", max_model_len=2048, fake_text=text).start()
    yield engine
    engine.stop()
