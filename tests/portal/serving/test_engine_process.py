"""An engine child is started, restarted with back-off, killed when it hangs, and stopped."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.serving import engine_process
from portal.serving.engine_process import EngineProcess, engine_command

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
DIES = [sys.executable, "-c", "raise SystemExit(3)"]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Callable[[list[str]], EngineProcess]]:
    made: list[EngineProcess] = []

    def engine(command: list[str]) -> EngineProcess:
        made.append(
            EngineProcess(
                model="m", command=command, address=f"unix:{tmp_path}/none.sock",
                log_path=tmp_path / "logs" / "m.log", clock=clock,
            )
        )  # fmt: skip
        return made[-1]

    yield engine
    for each in made:
        if each.process is not None:
            each.process.kill()
        each.stop()


def wait_for_death(engine: EngineProcess) -> None:
    assert engine.process is not None
    engine.process.wait(60)


def test_it_starts_the_child_and_stops_it(make: Callable[[list[str]], EngineProcess]) -> None:
    engine = make(SLEEPER)
    engine.tick()
    assert engine.process is not None
    pid = engine.process.pid
    engine.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_arguments_that_no_engine_knows_are_named(
    make: Callable[[list[str]], EngineProcess], tmp_path: Path
) -> None:
    more = ["--thread", "0"]
    engine = make(engine_command("m", "", f"unix:{tmp_path}/s", device="cpu", fake=True,
                                 max_model_len=9, more=more))  # fmt: skip
    engine.tick()
    wait_for_death(engine)
    engine.tick()
    assert engine.problem == "argument --threads: it must be at least 1, not 0 (see ENGINE_ARGS)"


def test_a_dead_child_is_restarted_after_its_back_off(
    make: Callable[[list[str]], EngineProcess], clock: Clock
) -> None:
    engine = make(DIES)
    waits = []
    for _ in range(3):
        engine.tick()
        wait_for_death(engine)
        engine.tick()
        assert engine.process is None
        waits.append(engine.next_start_at - clock.now)
        clock.now = engine.next_start_at
    assert waits == pytest.approx(engine_process.BACK_OFF_S[:3])


def test_a_child_that_ran_long_is_restarted_quickly(
    make: Callable[[list[str]], EngineProcess], clock: Clock
) -> None:
    engine = make(DIES)
    engine.failures = 4
    engine.tick()
    clock.now += engine_process.STEADY_S + 1
    wait_for_death(engine)
    engine.tick()
    assert engine.next_start_at - clock.now == pytest.approx(engine_process.BACK_OFF_S[0])


def test_a_child_that_stops_answering_is_killed(
    make: Callable[[list[str]], EngineProcess], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [True]
    monkeypatch.setattr(EngineProcess, "_answers", lambda _self: answers[0])
    engine = make(SLEEPER)
    engine.tick()
    engine.tick()
    answers[0] = False
    clock.now += engine_process.HANG_S - 1
    engine.tick()
    assert engine.process is not None
    assert engine.process.poll() is None
    clock.now += 2
    engine.tick()
    assert engine.process is not None
    assert engine.process.poll() == -signal.SIGKILL


def test_a_child_that_still_loads_is_left_alone(
    make: Callable[[list[str]], EngineProcess], clock: Clock
) -> None:
    engine = make(SLEEPER)
    engine.tick()
    clock.now += engine_process.HANG_S * 5
    engine.tick()
    assert engine.process is not None
    assert engine.process.poll() is None


def test_its_output_goes_to_its_log(
    make: Callable[[list[str]], EngineProcess], tmp_path: Path
) -> None:
    engine = make([sys.executable, "-c", "print('hello', flush=True)"])
    engine.tick()
    wait_for_death(engine)
    time.sleep(0.01)
    assert "hello" in (tmp_path / "logs" / "m.log").read_text()


def test_the_command_line_names_model_and_address() -> None:
    real = engine_command("m", "/models/m", "unix:/s", device="cpu", fake=False, max_model_len=99)
    assert real[1:] == [
        "-m", "inference.engine", "--model", "m", "--listen", "unix:/s",
        "--path", "/models/m", "--device", "cpu", "--max-model-len", "99",
    ]  # fmt: skip
    fake = engine_command(
        "m", "", "unix:/s", device="cpu", fake=True, max_model_len=99, kind="embeddings"
    )
    assert fake[-3:] == ["--fake", "--fake-kind", "embeddings"]
    assert "--path" not in fake
