"""Keeps one engine running for each enabled model that this machine serves."""

import logging
import threading
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, close_old_connections

from inference import catalog
from inference.models import ServedModel
from portal.serving.engine_process import EngineProcess, engine_command

logger = logging.getLogger(__name__)

TICK_S = 0.2
REREAD_EVERY = 10  # ticks between looks at the table of models


class Supervisor:
    """A thread that starts, watches and stops engine processes.

    The table of models is read again every other second, so that a model added while the site
    runs is served without a restart.
    """

    def __init__(self) -> None:
        self.engines: dict[str, EngineProcess] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        settings.ENGINE_SOCKET_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._thread.start()

    def stop(self) -> None:
        """Stop every engine; blocks until they are gone."""
        self._stopping.set()
        self._thread.join()
        for engine in self.engines.values():
            engine.stop()

    def _run(self) -> None:
        ticks = 0
        while not self._stopping.wait(TICK_S):
            if ticks % REREAD_EVERY == 0:
                close_old_connections()
                self.follow_table()
            ticks += 1
            for engine in self.engines.values():
                engine.tick()

    def follow_table(self) -> None:
        """Make the engines those that the table asks for; a changed one is replaced."""
        try:
            rows = list(ServedModel.objects.filter(enabled=True).exclude(source=""))
        except DatabaseError as error:  # it comes back; the engines run on meanwhile
            logger.warning("the table of models cannot be read: %s", error)
            return
        elsewhere = {name for name, _address in settings.ENGINES}
        wanted = {row.name: new_engine(row) for row in rows if row.name not in elsewhere}
        for name, engine in list(self.engines.items()):
            if name not in wanted or wanted[name].command != engine.command:
                self.engines.pop(name).stop()
        for name, engine in wanted.items():
            self.engines.setdefault(name, engine)


def new_engine(row: ServedModel) -> EngineProcess:
    address = catalog.local_address(row.name)
    socket_path = Path(address.removeprefix("unix:"))
    return EngineProcess(
        model=row.name,
        address=address,
        log_path=settings.DATA_DIR / "logs" / f"{socket_path.stem}.log",
        command=engine_command(
            row.name,
            row.source,
            address,
            device=settings.ENGINE_DEVICE,
            fake=settings.ENGINE_FAKE,
            max_model_len=row.max_model_len,
            quantization=row.quantization,
            more=settings.ENGINE_ARGS,
        ),
    )
