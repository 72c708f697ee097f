"""The machine that a site runs on, as a test turns it: its disk is full, its clock is wrong.

`machine.c` is preloaded into the site's processes and looks here at every write and every look at
the time of day, so that SQLite, logs and libraries meet what the system itself would say.
"""

import os
import struct
import subprocess
from pathlib import Path

from tests.made_once import made_once
from tests.services import find_binary

SOURCE = Path(__file__).with_name("machine.c")
FULL, AHEAD = 0, 8  # offsets of the two numbers of a process


class Machine:
    """Give `env` to the site; every process of it has a file named for its pid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.env = {"LD_PRELOAD": str(made_once("machine", _compile) / "machine.so")}
        self.env["MACHINE_DIR"] = str(folder)

    def fill_disk(self) -> None:
        """No process can write below the site's data folder."""
        self._set_everywhere(FULL, 1)

    def clear_disk(self) -> None:
        self._set_everywhere(FULL, 0)

    def turn_clock(self, pid: int, ahead_s: int) -> None:
        """The time of day as this process sees it; how long things take stays true."""
        _set(self.folder / str(pid), AHEAD, ahead_s)

    def _set_everywhere(self, offset: int, value: int) -> None:
        for process in self.folder.iterdir():
            _set(process, offset, value)


def _set(process: Path, offset: int, value: int) -> None:
    file = os.open(process, os.O_RDWR)
    try:
        os.pwrite(file, struct.pack("q", value), offset)
    finally:
        os.close(file)


def _compile(folder: Path) -> None:
    compiler = find_binary("gcc", "gcc")
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", folder / "machine.so", SOURCE, "-ldl"]
    subprocess.run(command, check=True)
