"""Services that are running already, stopped and started again as their administrators would."""

import os
import shlex
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
import redis

from tests.conformance.test_faults import wait_for
from tests.services import Unprivileged


class Restartable(ABC):
    """Who started it stops the first process; the second is stopped here."""

    def __init__(self, address: str, stopped_by: signal.Signals) -> None:
        self.address = address
        self.stopped_by = stopped_by
        self.process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def restartable(self) -> Iterator[Self]:
        try:
            yield self
        finally:
            if self.process is not None:
                self.process.send_signal(self.stopped_by)
                self.process.wait(30)

    @abstractmethod
    def answers(self) -> bool: ...

    def run(self, command: Sequence[str], folder: Path, **options: Any) -> None:
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
        )
        wait_for(self.answers, 30, "it answers again")


class Database(Restartable):
    """PostgreSQL, from what it says of itself."""

    def __init__(self, address: str) -> None:
        super().__init__(address, signal.SIGINT)
        with psycopg.connect(address) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        assert row is not None
        self.data = Path(row[0])
        self.command = shlex.split((self.data / "postmaster.opts").read_text())

    def stop(self) -> None:
        """Connections end, what runs is rolled back."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGINT)
        wait_for(lambda: not (self.data / "postmaster.pid").exists(), 30, "it has stopped")

    def start(self) -> None:
        self.run(self.command, self.data, **Unprivileged().options())

    def answers(self) -> bool:
        try:
            psycopg.connect(self.address, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class Redis(Restartable):
    """One that keeps nothing: when it comes back it is empty."""

    def __init__(self, address: str) -> None:
        super().__init__(address, signal.SIGTERM)
        with redis.Redis.from_url(address) as connection:
            said = connection.info("server")
        self.pid = int(said["process_id"])
        self.folder = Path("/proc", str(self.pid), "cwd").readlink()
        port = str(said["tcp_port"])
        self.command = [said["executable"], "--port", port, "--bind", "127.0.0.1", "--save", ""]

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: not self.answers(), 30, "it is gone")

    def start(self) -> None:
        self.run(self.command, self.folder)

    def answers(self) -> bool:
        with redis.Redis.from_url(self.address, socket_timeout=2) as connection:
            try:
                return bool(connection.ping())
            except redis.RedisError:
                return False
