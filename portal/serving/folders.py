"""The folders of a site: one `serve` at a time works in them, and no stranger does."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class TakenError(Exception):
    """Somebody else has the folder; says who and what to do."""


@contextmanager
def alone_in(data_dir: Path) -> Iterator[None]:
    """Make the folder, and keep every other `serve` out of it meanwhile.

    Two would sweep and start engines for one database, on the same sockets. The system lets go of
    the lock when the process dies, however it does; no child inherits it.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TakenError(f"Another serve runs in DATA_DIR {data_dir}.") from None
        yield


def make_private(folder: Path, like: Path) -> None:
    """Make the folder of the engines' sockets, which nobody else may look into.

    Outside of DATA_DIR anybody may have made it first, and would be sent every prompt: it has to
    belong to this user, or to whom `like` belongs.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), like.stat().st_uid}:
        raise TakenError(
            f"{folder}, for the sockets of engines, is somebody else's."
            " A DATA_DIR of fewer than 60 letters needs no such folder."
        )
    folder.chmod(0o700)
