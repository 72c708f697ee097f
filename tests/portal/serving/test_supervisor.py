"""The supervisor follows the table of models; settings decide how an engine is started."""

import subprocess
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from inference.models import SHIPPED, ServedModel
from portal.serving.engine_process import EngineProcess
from portal.serving.supervisor import Supervisor, new_engine

pytestmark = pytest.mark.django_db


def names(supervisor: Supervisor) -> set[str]:
    supervisor.follow_table()
    return {name for name, _ in supervisor.engines}


def test_it_follows_what_is_added_disabled_and_removed() -> None:
    supervisor = Supervisor()
    assert names(supervisor) == set()
    row = ServedModel.objects.create(name="a", source="/models/a")
    ServedModel.objects.create(name="elsewhere", source="")
    assert names(supervisor) == {"a"}
    ServedModel.objects.filter(pk=row.pk).update(enabled=False)
    assert names(supervisor) == set()


def test_an_engine_that_cannot_be_started_does_not_cost_the_others_their_supervision(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    watched: list[str] = []

    class Watched(EngineProcess):
        def tick(self) -> None:
            watched.append(self.model)
            super().tick()

    supervisor = Supervisor()
    nowhere = tmp_path / "file" / "engine.log"
    for name in ("a", "b"):
        supervisor.engines[name, 0] = Watched(name, ["false"], "unix:x", nowhere)
    supervisor.watch()
    supervisor.watch()
    assert watched == ["a", "b"] * 2
    assert all(engine.next_start_at > engine.clock() for engine in supervisor.engines.values())


def test_a_model_with_another_source_gets_another_engine(settings: Settings) -> None:
    supervisor = Supervisor()
    ServedModel.objects.create(name="a", source="/models/a")
    supervisor.follow_table()
    first = supervisor.engines["a", 1]
    supervisor.follow_table()
    assert supervisor.engines["a", 1] is first
    ServedModel.objects.update(source="/models/b", max_model_len=99)
    settings.ENGINE_FAKE = False
    supervisor.follow_table()
    second = supervisor.engines["a", 1]
    assert second is not first
    ServedModel.objects.update(quantization="int8")
    supervisor.follow_table()
    assert supervisor.engines["a", 1].command[-2:] == ["--quantize", "int8"]


def test_engines_have_numbers_by_which_they_take_gpus() -> None:
    supervisor = Supervisor()
    row = ServedModel.objects.create(name="a", source="/models/a", num_engines=3)

    def numbers() -> dict[tuple[str, int], int]:
        supervisor.follow_table()
        return {place: engine.number for place, engine in supervisor.engines.items()}

    assert numbers() == {("a", 1): 1, ("a", 2): 2, ("a", 3): 3}
    # The first two have gone, and another model, whose engine still ends; what runs keeps its own.
    supervisor.engines = {("b", 1): new_engine(row), ("a", 3): new_engine(row, 3)}
    for engine, number in zip(supervisor.engines.values(), (4, 2), strict=True):
        engine.process = subprocess.Popen(["sleep", "60"])
        engine.number = number
    assert numbers() == {("b", 1): 4, ("a", 3): 2, ("a", 1): 1, ("a", 2): 3}
    for engine in supervisor.engines.values():
        engine.stop()


def test_a_model_that_runs_elsewhere_is_not_started(settings: Settings) -> None:
    settings.ENGINES = [("a", "gpu1:50051")]
    ServedModel.objects.create(name="a", source="/models/a")
    assert names(Supervisor()) == set()


def test_an_engine_is_started_as_the_settings_say(settings: Settings, tmp_path: Path) -> None:
    settings.ENGINE_SOCKET_DIR = tmp_path
    settings.ENGINE_FAKE = False
    settings.ENGINE_DEVICE = "cpu"
    settings.ENGINE_ARGS = ["--threads", "2"]
    engine = new_engine(ServedModel(name="a/b", source="/models/a", max_model_len=512))
    assert isinstance(engine, EngineProcess)
    assert engine.address.startswith(f"unix:{tmp_path}/engine-")
    assert engine.command[-8:] == [
        "--path", "/models/a", "--device", "cpu", "--max-model-len", "512", "--threads", "2",
    ]  # fmt: skip


def test_the_shipped_model_runs_from_where_the_code_is_now(
    settings: Settings, tmp_path: Path
) -> None:
    settings.ENGINE_FAKE = False
    settings.STARTER_DIR = tmp_path
    engine = new_engine(ServedModel(name="starter", source=SHIPPED))
    assert engine.command[engine.command.index("--path") + 1] == str(tmp_path)
