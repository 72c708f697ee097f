"""Jobs done in forks of one process that has loaded what they need, which takes seconds.

`Forks` is the tests' side; `serve` is what the process does: a line of JSON in, a job; a line out,
what came of it. Each job has a process to itself, as if it had been started for it.
"""

import gc
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

# Not from tests.environment, which would change the environment of the process.
REPOSITORY = Path(__file__).parents[1]


class Forks:
    """Runs jobs by a module that calls `serve`; its process starts with the first."""

    def __init__(self, module: str, env: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", module]
        self._env = env
        self._process: subprocess.Popen[str] | None = None

    def run(self, job: Any) -> "subprocess.CompletedProcess[str]":
        process = self._process = self._process or subprocess.Popen(
            self._command, cwd=REPOSITORY, env=self._env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, f"{self._command} ended with {process.wait()}"
        return subprocess.CompletedProcess(self._command, **json.loads(answer))

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None


def serve(do: Callable[[Any], object]) -> None:
    """Do every job that comes, until there are no more."""
    gc.freeze()  # what is loaded stays; forks would copy it in looking at it
    for line in sys.stdin:
        print(json.dumps(_in_a_fork(do, json.loads(line))), flush=True)


def _in_a_fork(do: Callable[[Any], object], job: Any) -> dict[str, int | str]:
    with TemporaryFile() as out, TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), sys.stdout.fileno())
            os.dup2(errors.fileno(), sys.stderr.fileno())
            _do_and_exit(do, job)
        _pid, status = os.waitpid(child, 0)
        printed = []
        for file in (out, errors):
            file.seek(0)
            printed.append(file.read().decode())
    code = os.waitstatus_to_exitcode(status)
    return {"returncode": code, "stdout": printed[0], "stderr": printed[1]}


def _do_and_exit(do: Callable[[Any], object], job: Any) -> None:
    """Exit as a process of its own would, without taking apart all that is loaded."""
    code: int | str | None = 0
    try:
        do(job)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)
