"""What the container or the service that this process runs in may use: Linux's cgroups, version 2.

The machine's own numbers say nothing of it, and who takes more memory is ended, and who runs more
threads stands still for most of each tenth of a second.
"""

import math
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
RECLAIMED = ("active_file", "inactive_file")  # copies of files, which the kernel gives back


def memory_left() -> float:
    """Return the bytes that may still be taken; infinite where nobody set a limit."""
    return min(map(_memory_left, _groups()), default=math.inf)


def processors() -> float:
    """Return how many processors' time may be used; infinite where nobody set a limit."""
    return min(map(_processors, _groups()), default=math.inf)


def _groups() -> list[Path]:
    """Return the group of this process and those around it, as far as they can be seen."""
    lines = _read(MEMBERSHIP).splitlines()
    own = [ROOT / line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    around = [group for each in own for group in (each, *each.parents)]
    return [group for group in around if group.is_relative_to(ROOT)]


def _memory_left(group: Path) -> float:
    limit = _read(group / "memory.max")
    if limit in ("", "max"):
        return math.inf
    kinds = dict(line.split() for line in _read(group / "memory.stat").splitlines())
    used = int(_read(group / "memory.current")) - sum(int(kinds[kind]) for kind in RECLAIMED)
    return max(int(limit) - used, 0)


def _processors(group: Path) -> float:
    quota, _, period = _read(group / "cpu.max").partition(" ")
    return math.inf if quota in ("", "max") else int(quota) / int(period)


def _read(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""
