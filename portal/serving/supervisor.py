"""Keeps the engines running that the table of models asks this machine for."""

import itertools
import logging
import threading
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, close_old_connections

from inference import catalog
from inference.models import ServedModel
from portal.serving import folders
from portal.serving.engine_meter import EngineMeter
from portal.serving.engine_process import EngineProcess, engine_command

logger = logging.getLogger(__name__)

TICK_S = 0.2
UNSTARTABLE_S = 5.0  # between tries to start what the system refuses to start
REREAD_EVERY = 10  # ticks between looks at the table of models

Place = tuple[str, int]  # a model's name, and which of its engines


class Supervisor:
    """A thread that starts, watches and retires engine processes.

    The table of models is read again every other second, so that what an operator adds, loads,
    drains or unloads is followed without a restart. An engine that is no longer wanted, or wanted
    otherwise, finishes what it runs; its successor starts when it has ended, for they share a
    socket.
    """

    def __init__(self) -> None:
        self.engines: dict[Place, EngineProcess] = {}
        self.meter = EngineMeter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Raises TakenError when the sockets' folder is somebody else's."""
        folders.make_private(settings.ENGINE_SOCKET_DIR, like=settings.DATA_DIR)
        self._thread.start()

    def stop(self) -> None:
        """Stop every engine; blocks until they are gone."""
        self._stopping.set()
        self._thread.join()
        self.meter.look(self.engines.values())
        self.meter.book()
        for engine in self.engines.values():
            engine.retire()
        for engine in self.engines.values():
            engine.stop()

    def _run(self) -> None:
        ticks = 0
        while not self._stopping.wait(TICK_S):
            if ticks % REREAD_EVERY == 0:
                close_old_connections()
                self.meter.look(self.engines.values())
                self.follow_table()
            ticks += 1
            self.watch()

    def watch(self) -> None:
        """Look after every engine; one that cannot be started does not cost the others that."""
        for engine in self.engines.values():
            try:
                engine.tick()
            except OSError as error:  # no memory for a process, no disk for its log
                logger.error("engine of %s cannot be started: %s", engine.model, error)
                engine.next_start_at = engine.clock() + UNSTARTABLE_S

    def follow_table(self) -> None:
        """Make the engines those that the table asks for."""
        try:
            rows = self._rows()
            self._report(rows)
        except DatabaseError as error:  # it comes back; the engines run on meanwhile
            logger.warning("the table of models cannot be read: %s", error)
            return
        wanted = {
            (row.name, number): new_engine(row, number)
            for row in rows
            for number in catalog.engine_numbers(row)
        }
        for place, engine in list(self.engines.items()):
            if place not in wanted or wanted[place].command != engine.command:
                engine.retire()
            if engine.gone:
                del self.engines[place]
        for place, engine in wanted.items():
            self.engines.setdefault(place, engine).shares = len(wanted)
        self._number()

    def _number(self) -> None:
        """Give those that do not run the lowest numbers that are free: GPUs are taken by them."""
        taken = {engine.number for engine in self.engines.values() if engine.process is not None}
        for engine in self.engines.values():
            if engine.process is None:
                engine.number = next(n for n in itertools.count(1) if n not in taken)
                taken.add(engine.number)

    def _rows(self) -> list[ServedModel]:
        rows = ServedModel.objects.exclude(source="")
        elsewhere = {name for name, _address in settings.ENGINES}
        return [row for row in rows if row.name not in elsewhere]

    def _report(self, rows: list[ServedModel]) -> None:
        """Tell operators why an engine does not run."""
        for row in rows:
            problems = [
                engine.problem for (name, _), engine in self.engines.items() if name == row.name
            ]
            problem = next(filter(None, problems), "")
            if problem != row.problem:
                ServedModel.objects.filter(pk=row.pk).update(problem=problem)


def new_engine(row: ServedModel, number: int = 1) -> EngineProcess:
    address = catalog.local_address(row.name, number)
    socket_path = Path(address.removeprefix("unix:"))
    return EngineProcess(
        model=row.name,
        address=address,
        log_path=settings.DATA_DIR / "logs" / f"{socket_path.stem}.log",
        command=engine_command(
            row.name,
            row.location,
            address,
            device=settings.ENGINE_DEVICE,
            fake=settings.ENGINE_FAKE,
            max_model_len=row.max_model_len,
            kind=row.kind,
            quantization=row.quantization,
            more=settings.ENGINE_ARGS,
        ),
    )
