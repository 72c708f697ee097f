"""Compiling a stranger's grammar in a process that may die of it.

`Trial` starts this module as a child process at the first grammar and again after each that killed
it. The child compiles a grammar, follows it for some random tokens, and says what it found. The
kernel ends it when that takes more than a second of processor time or more memory than it may have,
whatever the library is doing, and whether or not its parent still lives. Where it got no processor,
it ends as well, and nothing is said against the grammar.
"""

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from llguidance import LLMatcher

from inference.engine.grammar import Grammars, Vocabulary
from inference.engine.params import Grammar

LIMIT_S = 1.0  # of processor time, so that a busy machine refuses nothing
STALLED_S = 5.0  # of the clock: as long as others may have to wait
MEMORY_BYTES = 2 << 30  # of addresses; the vocabulary's own are some hundred MiB
# Less than a thread of the engine has: what does not overflow it here does not overflow it there.
STACK_BYTES = 2 << 20
NUM_STEPS = 32
ENDING_S = 1.0  # between the end of what a child says and its own
# How the child ends when its time is over by the clock, and when somebody ends it from outside.
NOT_ITS_FAULT = (-signal.SIGALRM, -signal.SIGKILL, -signal.SIGTERM)
TOO_MUCH = "it is too complex: compiling it takes longer than a second, or too much memory"


class Trial:
    """The child process, as seen by the engine. One call at a time, but `stop` from any thread."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Start nothing yet."""
        self._vocabulary = vocabulary
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, grammar: Grammar) -> None:
        """Return when the grammar is harmless. ValueError with a sentence when it is not.

        OSError when there is no process to try it in, which is not the grammar's fault.
        """
        if self._child is not None and self._child.poll() is not None:
            self.stop()  # it died between two grammars: neither is to blame
        child = self._child or self._start()
        answer = _ask(child, [grammar.kind, grammar.source, grammar.lenient])
        if not answer:
            status = _status(child)
            self.stop()
            if status in NOT_ITS_FAULT:
                raise ChildProcessError("the process in which grammars are tried was held up")
            raise ValueError(TOO_MUCH)
        if complaint := json.loads(answer):
            raise ValueError(complaint)

    def _start(self) -> subprocess.Popen[bytes]:
        child = self._child = subprocess.Popen(
            [sys.executable, "-m", "inference.engine.grammar_trial"],
            cwd=Path(__file__).parents[2],
            # Its threads reserve addresses for each processor.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        vocabulary = self._vocabulary
        tokens = [token.decode("latin-1") for token in vocabulary.tokens]
        if not _ask(child, [tokens, vocabulary.special, vocabulary.ends, vocabulary.size]):
            self.stop()
            raise ChildProcessError("the process in which grammars are tried does not start")
        return child

    def stop(self) -> None:
        """End the child, whatever it is doing."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            with contextlib.suppress(BrokenPipeError), child:
                pass  # leaving it closes the pipes and waits


def _ask(child: subprocess.Popen[bytes], question: Any) -> bytes:
    """Return the child's line; nothing when it dies."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(_line(question))
        child.stdin.flush()
        return child.stdout.readline()
    except (BrokenPipeError, ValueError):  # ValueError: `stop` has closed the pipe
        return b""


def _status(child: subprocess.Popen[bytes]) -> int | None:
    """How a child that says nothing any more has ended; None when it has not."""
    try:
        return child.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        return None


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


# In the child.


def serve() -> None:
    """Answer each line until there is none; the first one is the vocabulary."""
    tokens, special, ends, size = json.loads(sys.stdin.buffer.readline())
    encoded = tuple(token.encode("latin-1") for token in tokens)
    grammars = Grammars(Vocabulary(encoded, tuple(special), tuple(ends), size))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    _answer("ready")
    for line in sys.stdin.buffer:
        grammar = Grammar(*json.loads(line))
        _limit_time(LIMIT_S, STALLED_S)
        complaint = try_out(grammars, grammar)
        _limit_time(0, 0)
        _answer(complaint)


def _limit_time(processor_s: float, clock_s: float) -> None:
    """Set both timers, whose signals are not handled: they kill. 0 stops them."""
    signal.setitimer(signal.ITIMER_PROF, processor_s)
    signal.setitimer(signal.ITIMER_REAL, clock_s)


def _answer(value: str) -> None:
    sys.stdout.buffer.write(_line(value))
    sys.stdout.buffer.flush()


def try_out(grammars: Grammars, grammar: Grammar) -> str:
    """Compile a grammar and follow it a little way; return what is wrong with it, if anything."""
    try:
        matcher = grammars.accept(grammar).start()
    except ValueError as error:
        return str(error)
    return _follow(matcher)


def _follow(matcher: LLMatcher) -> str:
    chance = random.Random(0)
    for _ in range(NUM_STEPS):
        if matcher.is_stopped():
            break
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        allowed = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
        if matcher.is_error() or not matcher.consume_token(int(chance.choice(allowed))):
            break
    if not matcher.is_error():
        return ""
    if "NoExtension" in matcher.get_error():
        return "no text fits it"
    return "it is too complex to be followed token by token"


if __name__ == "__main__":
    threading.stack_size(STACK_BYTES)
    worker = threading.Thread(target=serve)
    worker.start()
    worker.join()
