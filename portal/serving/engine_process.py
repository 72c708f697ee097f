"""One engine child process: start, watch, restart with back-off, retire.

Owns the child's life only. Whether requests reach it is `inference.client`'s business; here a
child that died, or that does not answer health checks for `HANG_S` seconds, is replaced.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.engine.wire.asking import ask
from inference.engine.wire.engine_pb2 import InfoRequest
from inference.engine.wire.errors import CallError
from inference.engine.wire.methods import INFO

logger = logging.getLogger(__name__)

HANG_S = 10.0
LOAD_S = 600.0  # a large model may take minutes to load; a hang is looked for afterwards
BACK_OFF_S = (0.2, 1.0, 2.0, 5.0, 15.0, 30.0)
STEADY_S = 60.0  # after this long a restart begins again with the shortest back-off
STOP_S = 40.0  # longer than an engine's own patience with what it still runs
CANNOT_SERVE = 2  # the status of an engine that says why it does not start
SAYS = "engine: "  # how its sentence begins
MISREADS = "inference.engine: error: "  # and one about its command line
LOG_TAIL_BYTES = 4096


@dataclass
class EngineProcess:
    """A model's engine on this machine. `tick` is called often and never blocks for long."""

    model: str
    command: list[str]
    address: str
    log_path: Path
    # Asked for at the next start: engines that divide this machine's memory, and which it is.
    shares: int = 1
    number: int = 1
    clock: Callable[[], float] = time.monotonic
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started_at: float = 0.0
    answered_at: float | None = None
    next_start_at: float = 0.0
    problem: str = ""  # why it does not run; empty once it answers
    retired_at: float | None = None

    def tick(self) -> None:
        """Notice a death or a hang, and start the child when its back-off is over."""
        if self.retired_at is not None:
            self._see_off(self.retired_at)
            return
        if self.process is not None:
            self._notice_death()
        if self.process is not None:
            self._notice_hang()
        if self.process is None and self.clock() >= self.next_start_at:
            self._start()

    @property
    def gone(self) -> bool:
        """Whether it was retired and has ended."""
        return self.retired_at is not None and self.process is None

    def retire(self) -> None:
        """Let running sequences end (SIGTERM drains); `tick` makes sure that the child does."""
        if self.retired_at is None:
            self.retired_at = self.clock()
            if self.process is not None:
                self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Retire it and wait until it has ended."""
        self.retire()
        if self.process is not None:
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def _see_off(self, since: float) -> None:
        if self.process is None or self.process.poll() is not None:
            self.process = None
        elif self.clock() - since > STOP_S:
            logger.error("engine of %s does not end; killing it", self.model)
            self.process.kill()

    def _start(self) -> None:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own command line
                [
                    *self.command,
                    "--memory-shares",
                    str(self.shares),
                    "--engine-number",
                    str(self.number),
                    "--parent-pid",
                    str(os.getpid()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches us first; we drain, then stop the child
            )
        self.started_at = self.clock()
        self.answered_at = None
        logger.info("engine of %s started (pid %s)", self.model, self.process.pid)

    def _notice_death(self) -> None:
        assert self.process is not None
        code = self.process.poll()
        if code is None:
            return
        if self.clock() - self.started_at > STEADY_S:
            self.failures = 0
        wait_s = BACK_OFF_S[min(self.failures, len(BACK_OFF_S) - 1)]
        self.failures += 1
        self.next_start_at = self.clock() + wait_s
        self.process = None
        self.problem = self._reason(code)
        logger.error(
            "engine of %s ended with %s; starting it again in %.1f s (its log: %s)",
            self.model, code, wait_s, self.log_path,
        )  # fmt: skip

    def _reason(self, code: int) -> str:
        """What the engine said last, if it said why it cannot serve."""
        lines = _tail(self.log_path).splitlines()
        said = [line for line in lines if line.startswith((SAYS, MISREADS))]
        if code == CANNOT_SERVE and said:
            if said[-1].startswith(MISREADS):
                return f"{said[-1].removeprefix(MISREADS)} (see ENGINE_ARGS)"
            return said[-1].removeprefix(SAYS)
        return f"It ended with status {code}; its log is {self.log_path}."

    def _notice_hang(self) -> None:
        assert self.process is not None
        now = self.clock()
        if self._answers():
            self.answered_at = now
            self.problem = ""
            return
        silent_since = self.started_at if self.answered_at is None else self.answered_at
        patience_s = LOAD_S if self.answered_at is None else HANG_S
        if now - silent_since > patience_s:
            logger.error("engine of %s does not answer; killing it", self.model)
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            ask(self.address, INFO, InfoRequest(), timeout_s=2.0)
        except CallError:
            return False
        return True


def _tail(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
        return log.read().decode(errors="replace").strip()


def engine_command(
    model: str,
    source: str,
    address: str,
    *,
    device: str,
    fake: bool,
    max_model_len: int,
    kind: str = "text",
    quantization: str = "",
    more: Sequence[str] = (),
) -> list[str]:
    """The command line of an engine for `model`; a checkpoint tells its kind itself."""
    command = [sys.executable, "-m", "inference.engine", "--model", model, "--listen", address]
    if fake:
        return [*command, "--fake", "--fake-kind", kind, *more]
    command += ["--path", source, "--device", device, "--max-model-len", str(max_model_len)]
    if quantization:
        command += ["--quantize", quantization]
    return [*command, *more]
