"""Memory of a CPU's cache, made real before its blocks are used.

The cache takes real memory only where it is written (`huge_pages.py`), so that a large one costs an
idle machine nothing. But a page that is written for the first time has to be cleared, and a virtual
machine's has to be found by its host: a step in which that happens stands still, with all that run
in it. So a thread of the lowest priority stays some blocks ahead of the highest one in use: far
ahead while nothing runs, so that it has little to do when the processor is wanted for steps.
"""

import math
import os
import sys
import threading
import time
from collections.abc import Sequence

from torch import Tensor

from inference.engine.huge_pages import PAGE_BYTES
from inference.engine.native.touch import Touch

NEAR_BYTES = 256 << 20  # whatever runs
FAR = 0.25  # of the whole, while nothing does
QUIET_S = 0.1  # without a step: nothing runs
LOWEST_PRIORITY = 19


class Ahead:
    """Stays ahead in tensors whose rows are blocks, which are first used in ascending order."""

    def __init__(
        self,
        tensors: Sequence[Tensor],
        touch: Touch,
        near_bytes: int = NEAR_BYTES,
        far: float = FAR,
    ) -> None:
        """Start. `touch` makes so many bytes from an address real, and changes none."""
        self._places = [(tensor.data_ptr(), _row_bytes(tensor)) for tensor in tensors]
        self._tensors = tensors  # or their memory could go
        self._touch = touch
        self._num_blocks = len(tensors[0])
        block_bytes = sum(row_bytes for _, row_bytes in self._places)
        self._near = max(1, near_bytes // block_bytes)
        self._far = max(self._near, int(self._num_blocks * far))
        self._piece = max(1, PAGE_BYTES // max(row_bytes for _, row_bytes in self._places))
        self._highest = 0
        self._used_at = -math.inf
        self._stopped = False
        self._higher = threading.Event()
        self.reached = 0  # blocks that are real
        threading.Thread(target=self._run, name="ahead", daemon=True).start()

    def use(self, block: int) -> None:
        """A step uses blocks up to this one."""
        self._used_at = time.monotonic()
        if block > self._highest:
            self._highest = block
            self._higher.set()

    def stop(self) -> None:
        """Go no further, and let go of the memory."""
        self._stopped = True
        self._higher.set()

    def _run(self) -> None:
        if sys.platform == "linux":  # where priorities are those of threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        while not self._stopped and self.reached < self._num_blocks:
            self._higher.clear()
            quiet_in_s = self._used_at + QUIET_S - time.monotonic()
            end = self._highest + (self._near if quiet_in_s > 0 else self._far)
            if self.reached < min(end, self._num_blocks):
                self._go_on(min(self.reached + self._piece, end, self._num_blocks))
            elif not self._stopped:
                self._higher.wait(quiet_in_s if quiet_in_s > 0 else None)

    def _go_on(self, end: int) -> None:
        for address, row_bytes in self._places:
            self._touch(address + self.reached * row_bytes, (end - self.reached) * row_bytes)
        self.reached = end


def _row_bytes(tensor: Tensor) -> int:
    return tensor[0].numel() * tensor.element_size()
