"""A container's limits are the engine's, of memory and of processors."""

import math
import os
from pathlib import Path

import pytest

from inference.engine import cgroups
from inference.engine.build import physical_cores
from inference.engine.memory import free_memory

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the kernel shows it, of a process in a service of a slice."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroups, "MEMBERSHIP", tmp_path / "membership")
    cgroups.MEMBERSHIP.write_text("4:memory:/elsewhere\n0::/site.slice/engine.service\n")
    (cgroups.ROOT / "site.slice" / "engine.service").mkdir(parents=True)
    (tmp_path / "memory.max").write_text("1\n")  # outside: nobody's group
    return cgroups.ROOT


def limit(group: Path, most: str, used: int = 300 * MIB, files: int = 0) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    stat = f"anon 7\nactive_file {files // 4}\ninactive_file {files - files // 4}\nslab 9\n"
    (group / "memory.stat").write_text(stat)


def test_without_a_limit_the_machine_counts(root: Path) -> None:
    assert cgroups.memory_left() == cgroups.processors() == math.inf
    limit(root / "site.slice", "max")
    (root / "site.slice" / "cpu.max").write_text("max 100000\n")
    assert cgroups.memory_left() == cgroups.processors() == math.inf
    cgroups.MEMBERSHIP.unlink()
    assert cgroups.memory_left() == cgroups.processors() == math.inf


def test_the_memory_of_a_service_is_what_its_limit_leaves(root: Path) -> None:
    limit(root / "site.slice" / "engine.service", str(1024 * MIB), 300 * MIB, 100 * MIB)
    assert cgroups.memory_left() == 824 * MIB
    assert free_memory() <= 824 * MIB
    limit(root / "site.slice", str(500 * MIB))  # it shares what is around it
    assert cgroups.memory_left() == free_memory() == 200 * MIB
    limit(root / "site.slice", str(200 * MIB))  # it was lowered
    assert free_memory() == 0


def test_the_processors_of_a_container_are_those_whose_time_it_may_have(root: Path) -> None:
    cores = physical_cores()
    (root / "cpu.max").write_text("6400000 100000\n")
    assert cgroups.processors() == 64
    assert physical_cores() == cores
    (root / "site.slice" / "cpu.max").write_text("150000 100000\n")
    assert cgroups.processors() == 1.5
    assert physical_cores() == 1
    (root / "site.slice" / "cpu.max").write_text("50000 100000\n")
    assert physical_cores() == 1


def test_this_process_can_ask() -> None:
    assert cgroups.memory_left() > 0
    assert cgroups.processors() > 0
    assert physical_cores() <= len(os.sched_getaffinity(0))
