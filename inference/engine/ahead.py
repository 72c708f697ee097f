"""Memory of a CPU's cache, made real before its blocks are used.

The cache takes real memory only where it is written (`huge_pages.py`), so that a large one costs an
idle machine nothing. But a page that is written for the first time has to be cleared, and a virtual
machine's has to be found by its host: a step in which that happens stands still, with all that run
in it. So a thread of the lowest priority stays some blocks ahead of the highest one in use.
"""

import os
import sys
import threading
from collections.abc import Sequence

from torch import Tensor

from inference.engine.huge_pages import PAGE_BYTES
from inference.engine.native.touch import Touch

AHEAD_BYTES = 256 << 20
LOWEST_PRIORITY = 19


class Ahead:
    """Stays ahead in tensors whose rows are blocks, which are first used in ascending order."""

    def __init__(
        self, tensors: Sequence[Tensor], touch: Touch, ahead_bytes: int = AHEAD_BYTES
    ) -> None:
        """Start. `touch` makes so many bytes from an address real, and changes none."""
        self._places = [(tensor.data_ptr(), _row_bytes(tensor)) for tensor in tensors]
        self._tensors = tensors  # or their memory could go
        self._touch = touch
        self._num_blocks = len(tensors[0])
        block_bytes = sum(row_bytes for _, row_bytes in self._places)
        self._ahead = max(1, ahead_bytes // block_bytes)
        self._piece = max(1, PAGE_BYTES // max(row_bytes for _, row_bytes in self._places))
        self._highest = 0
        self._stopped = False
        self._higher = threading.Event()
        self.reached = 0  # blocks that are real
        threading.Thread(target=self._run, name="ahead", daemon=True).start()

    def use(self, block: int) -> None:
        """A step uses blocks up to this one."""
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
            end = min(self._highest + self._ahead, self._num_blocks)
            if self.reached < end:
                self._go_on(min(self.reached + self._piece, end))
            elif not self._stopped:
                self._higher.wait()

    def _go_on(self, end: int) -> None:
        for address, row_bytes in self._places:
            self._touch(address + self.reached * row_bytes, (end - self.reached) * row_bytes)
        self.reached = end


def _row_bytes(tensor: Tensor) -> int:
    return tensor[0].numel() * tensor.element_size()
