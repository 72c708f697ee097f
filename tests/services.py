"""Throw-away PostgreSQL and Redis servers for tests: free ports, temporary folders, stopped by pid.

A missing binary skips the test with a visible reason; with CI=true it is a failure. PostgreSQL
refuses to run as root, so under root it runs as the system user `postgres` or `nobody`.
"""

import itertools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.environment import CI

START_S = 120.0


def find_binary(name: str, package: str) -> str:
    """The path of a server's binary; skips, or fails in CI, when it is missing."""
    found = shutil.which(name)
    candidates = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if candidates:  # the distribution's own, which match each other, before wrappers on PATH
        return str(candidates[-1])
    if found:
        return found
    reason = f"{name} is missing (Debian: apt-get install {package})"
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


# Below those that the kernel gives to whoever asks for any: else somebody could get one between its
# choice and its use, seconds later. Each worker has some of its own, and begins anywhere in them.
_NUM_PORTS = 1000
_FIRST_PORT = 12_000 + _NUM_PORTS * int(
    os.environ.get("PYTEST_XDIST_WORKER", "gw15").removeprefix("gw")
)
_places = itertools.count(random.randrange(_NUM_PORTS))


def free_port() -> int:
    """One that nobody listens on, nor will: no other call gives it for a long time."""
    while True:
        port = _FIRST_PORT + next(_places) % _NUM_PORTS
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Unprivileged:
    """How to run a command as somebody who is not root."""

    def __init__(self) -> None:
        self.user: pwd.struct_passwd | None = None
        if os.geteuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            self.user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")

    def own(self, folder: Path) -> None:
        if self.user is not None:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)

    def options(self) -> dict[str, int | list[int]]:
        if self.user is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}


@contextmanager
def postgres_server(like: Path | None = None, keep: Path | None = None) -> Iterator[str]:
    """A fresh PostgreSQL; yields its `postgres://` address.

    It begins as the one whose data lie at `like`, and leaves its own at `keep`.
    """
    server = find_binary("postgres", "postgresql")
    unprivileged = Unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="parlance-pg-", dir="/tmp"))
    unprivileged.own(folder)
    data = folder / "data"
    try:
        if like is None:
            _initialise(data, unprivileged)
        else:
            subprocess.run(["cp", "-a", like, data], check=True)
        port = free_port()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [server, "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                 "-c", f"unix_socket_directories={folder}", "-c", "max_connections=300"],
                stdout=log, stderr=log, cwd=folder, **unprivileged.options(),
            )  # fmt: skip
        with _stopped_afterwards(process, signal.SIGINT):
            address = f"postgres://parlance@127.0.0.1:{port}/postgres"
            _wait(lambda: _answers(address), process, folder / "log")
            yield address
        if keep is not None:
            subprocess.run(["cp", "-a", data, keep], check=True)  # perhaps on another disk
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _initialise(data: Path, unprivileged: Unprivileged) -> None:
    subprocess.run(
        [find_binary("initdb", "postgresql"), "--pgdata", str(data), "--username", "parlance",
         "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"],
        check=True, capture_output=True, cwd=data.parent, **unprivileged.options(),
    )  # fmt: skip


@contextmanager
def redis_server() -> Iterator[str]:
    """A fresh Redis that keeps nothing; yields its `redis://` address."""
    binary = find_binary("redis-server", "redis-server")
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="parlance-redis-", dir="/tmp"))
    try:
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", str(folder)],
                stdout=log, stderr=log,
            )  # fmt: skip
        with _stopped_afterwards(process, signal.SIGTERM):
            _wait(lambda: _accepts(port), process, folder / "log")
            yield f"redis://127.0.0.1:{port}/0"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _stopped_afterwards(process: subprocess.Popen[bytes], by: signal.Signals) -> Iterator[None]:
    try:
        yield
    finally:
        process.send_signal(by)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    """PostgreSQL takes connections before it is ready, and says so on them."""
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)
