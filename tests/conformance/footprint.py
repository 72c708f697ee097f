"""What the web processes of a running site take of the machine."""

import re
from pathlib import Path
from typing import NamedTuple

from tests.conformance.test_faults import WEB
from tests.story.site import Site


class Footprint(NamedTuple):
    memory_kib: int
    num_files: int


def footprint(site: Site) -> dict[str, Footprint]:
    """Of each web process."""
    found = {}
    for name in site.processes.keys() & {*WEB, "serve"}:
        folder = Path("/proc", str(site.processes[name].pid))
        memory = re.search(r"VmRSS:\s*(\d+) kB", (folder / "status").read_text())
        assert memory is not None
        found[name] = Footprint(int(memory[1]), len(list((folder / "fd").iterdir())))
    return found
