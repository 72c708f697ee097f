"""The supervisor's thread over real engine processes: what an operator wants comes about."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from inference import catalog, lifecycle
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire.asking import ask
from inference.engine.wire.errors import CallError
from inference.engine.wire.methods import INFO
from inference.models import ModelState, ServedModel
from portal.serving.supervisor import Supervisor
from tests.inference.engine.checkpoint import write_checkpoint

PATIENCE_S = 60.0


@pytest.fixture
def supervisor(transactional_db: None, settings: Settings, tmp_path: Path) -> Iterator[Supervisor]:
    settings.ENGINE_SOCKET_DIR = tmp_path / "run"
    settings.DATA_DIR = tmp_path
    supervisor = Supervisor()
    supervisor.start()
    yield supervisor
    supervisor.stop()
    assert all(engine.process is None for engine in supervisor.engines.values())


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.05)


def info(model: str, number: int = 1) -> wire.EngineInfo | None:
    """What an engine says of itself; None while it does not answer."""
    try:
        return ask(catalog.local_address(model, number), INFO, wire.InfoRequest(), timeout_s=2)
    except CallError:
        return None


def test_a_model_is_loaded_drained_and_unloaded(supervisor: Supervisor) -> None:
    ServedModel.objects.create(name="a", source="x", num_engines=2)
    until(lambda: bool(info("a", 1) and info("a", 2)))
    pids = {place: engine.process.pid for place, engine in supervisor.engines.items()
            if engine.process}  # fmt: skip
    lifecycle.want("a", ModelState.LOADED, num_engines=1)
    until(lambda: ("a", 2) not in supervisor.engines)
    assert info("a", 2) is None
    lifecycle.want("a", ModelState.DRAINED)
    time.sleep(3)  # longer than the supervisor takes to look
    engine = supervisor.engines["a", 1]
    assert engine.process is not None
    assert engine.process.pid == pids["a", 1]
    lifecycle.want("a", ModelState.UNLOADED)
    until(lambda: not supervisor.engines)
    assert info("a") is None
    lifecycle.want("a", ModelState.LOADED)
    until(lambda: info("a") is not None)


def test_a_changed_model_is_replaced_when_its_engine_has_finished(supervisor: Supervisor) -> None:
    ServedModel.objects.create(name="a", source="x")
    until(lambda: info("a") is not None)
    first = supervisor.engines["a", 1]
    # Another command line, though the fake makes nothing of it.
    ServedModel.objects.create(name="b", source="x")
    until(lambda: info("b") is not None)
    assert supervisor.engines["a", 1] is first, "another model disturbed it"
    assert first.process is not None
    assert first.process.poll() is None


def test_a_real_engine_serves_rounded_weights_and_says_why_another_cannot(
    supervisor: Supervisor, settings: Settings, tmp_path: Path
) -> None:
    settings.ENGINE_FAKE = False
    settings.ENGINE_DEVICE = "cpu"
    write_checkpoint(tmp_path / "model")
    fields = {"source": str(tmp_path / "model"), "max_model_len": 512}
    ServedModel.objects.create(name="real", quantization="int8", **fields)
    ServedModel.objects.create(name="long", **fields | {"max_model_len": 4096})
    until(lambda: info("real") is not None)
    told = info("real")
    assert told is not None
    assert told.dtype == "bfloat16, int8 weights"
    until(lambda: bool(ServedModel.objects.get(name="long").problem))
    assert ServedModel.objects.get(name="long").problem == (
        "The model was made for at most 512 tokens, not 4096."
    )
    assert ServedModel.objects.get(name="real").problem == ""
    ServedModel.objects.filter(name="long").update(max_model_len=512)
    until(lambda: ServedModel.objects.get(name="long").problem == "")
    until(lambda: info("long") is not None)
