"""What takes long to make and is the same for all tests: made once in a run, by any worker."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import tests.environment  # noqa: F401  which says where


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` filled for whoever asked first; the others wait for it."""
    folder = Path(os.environ["PARLANCE_TEST_DATA"], name)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder
