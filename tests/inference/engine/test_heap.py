"""What was let go while a model was loaded is the system's again."""

from pathlib import Path

import torch

from inference.engine import heap

MEBI = 1 << 20


def resident_bytes() -> int:
    [line] = [
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("RssAnon:")
    ]
    return int(line.split()[1]) * 1024


def test_free_memory_is_given_back() -> None:
    # Freed pieces of the heap below one that stays; the C library gives back the top alone.
    pieces = [torch.ones(MEBI // 64, dtype=torch.float32) for _ in range(3200)]  # 64 KiB each
    stays = pieces[-1].clone()
    pieces.clear()
    before = resident_bytes()
    heap.give_back()
    assert before - resident_bytes() > 100 * MEBI
    assert stays.sum() == len(stays)
