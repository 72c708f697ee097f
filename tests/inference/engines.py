"""Fake engines as real processes, on the sockets where the web side looks for them."""

import subprocess
import sys
import time
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inference import catalog
from tests.environment import REPOSITORY


class FakeEngine:
    """One `python -m inference.engine --fake` process."""

    source = ("--fake",)
    start_timeout_s = 30.0

    def __init__(self, model: str, number: int = 1, **options: object) -> None:
        self.model = model
        self.number = number
        self.options = options
        self.flags: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return catalog.local_address(self.model, self.number)

    @property
    def log_path(self) -> Path:
        return Path(self.address.removeprefix("unix:")).with_suffix(".log")

    def start(self) -> "FakeEngine":
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

    def _wait_until_serving(self) -> None:
        deadline = time.monotonic() + self.start_timeout_s
        with grpc.insecure_channel(self.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while True:
                try:
                    request = health_pb2.HealthCheckRequest()
                    stub.Check(request, timeout=2, wait_for_ready=True)
                except grpc.RpcError:
                    assert time.monotonic() < deadline, "the engine did not start"
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
