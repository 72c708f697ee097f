"""The outside clients' own environments: what each pins, installed once into `.clients/`.

A client is a folder of `clients/` with a program and the exact versions that it runs with: a
`requirements.txt` for a virtual environment, or a `package.json` and its lock file for Node.
An environment whose pins have changed since is made anew.
`python -m tests.conformance.environments` makes all of them.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.environment import CI, REPOSITORY

CLIENTS = Path(__file__).parent / "clients"
CACHE = REPOSITORY / ".clients"
INSTALL_S = 300.0
RUN_S = 180.0
LEAVE_S = 10.0
# Clients that run on the packages of this environment beside their own: PyTorch is large.
ON_OURS = {"lm_eval"}
Report = dict[str, Any]


class CannotInstallError(Exception):
    """A package manager failed; says what it said."""


def names() -> list[str]:
    return sorted(folder.name for folder in CLIENTS.iterdir() if pins(folder.name))


def pins(client: str) -> list[Path]:
    """The files that say what is installed."""
    wanted = ("requirements.txt", "package.json", "package-lock.json")
    return [path for name in wanted if (path := CLIENTS / client / name).exists()]


def run(client: str, timeout_s: float = RUN_S, **variables: str) -> Report:
    """Run a client's program with nothing of this environment but the path, and read its report."""
    with started(client, **variables) as program:
        said, complained = program.communicate(timeout=timeout_s)
    assert program.returncode == 0, said[-2000:] + complained[-4000:]
    report: Report = json.loads(said.splitlines()[-1])
    return report


@contextmanager
def started(client: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A client's program while it runs; an exception inside ends it, and what it started."""
    started_by = command(client)
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **variables}
    pipe = subprocess.PIPE
    with subprocess.Popen(started_by, env=env, stdout=pipe, stderr=pipe, text=True) as program:
        try:
            yield program
        except BaseException:
            _interrupt(program)
            raise


def _interrupt(program: subprocess.Popen[str]) -> None:
    """Ask it to go first: killed outright, it would leave behind what it started, as a browser."""
    program.send_signal(signal.SIGINT)
    try:
        program.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        program.kill()


def command(client: str) -> list[str]:
    """How its program is started. Skips, or fails in CI, when its packages cannot be installed."""
    try:
        return install(client)
    except CannotInstallError as error:
        pytest.fail(str(error)) if CI else pytest.skip(str(error))


def install(client: str) -> list[str]:
    """How its program is started; installs what it needs the first time."""
    folder = CACHE / client
    with _locked(client):
        _install_once(client, folder)
    program = CLIENTS / client / "program.mjs"
    if program.exists():
        # Modules are looked for beside the program, so Node runs a copy beside its packages.
        return ["node", shutil.copy(program, folder)]
    return [str(folder / "bin" / "python"), str(CLIENTS / client / "program.py")]


@contextmanager
def _locked(client: str) -> Iterator[None]:
    """Two test processes never install into one folder."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{client}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install_once(client: str, folder: Path) -> None:
    stamp = folder / "installed"
    digest = hashlib.sha256(sys.version.encode())
    for path in pins(client):
        digest.update(path.read_bytes())
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    shutil.rmtree(folder, ignore_errors=True)
    if (CLIENTS / client / "package.json").exists():
        _install_node_packages(client, folder)
    else:
        _install_python_packages(client, folder)
    stamp.write_text(digest.hexdigest())


def _install_python_packages(client: str, folder: Path) -> None:
    venv.create(folder, with_pip=True)
    requirements = str(CLIENTS / client / "requirements.txt")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    _run([*pip, "--disable-pip-version-check", "--no-deps", "-r", requirements], folder)
    if client in ON_OURS:
        [own] = folder.glob("lib/python*/site-packages")
        (own / "ours.pth").write_text(sysconfig.get_path("purelib"))


def _install_node_packages(client: str, folder: Path) -> None:
    """`npm ci` compares every package with the digest in the lock file."""
    folder.mkdir(parents=True)
    for path in pins(client):
        shutil.copy(path, folder)
    _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)


def _run(arguments: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            arguments, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S
        )
    except FileNotFoundError:
        raise CannotInstallError(f"{arguments[0]} is missing") from None
    if done.returncode:
        raise CannotInstallError(f"{' '.join(arguments)}: {done.stderr.strip()[-500:]}")


if __name__ == "__main__":
    for name in names():
        print(f"{name} …", flush=True)
        install(name)
