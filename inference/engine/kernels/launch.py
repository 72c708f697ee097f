"""Starting a kernel while the one before it ends, on GPUs that can (Hopper and later).

Between two kernels of a stream the device drains and fills again: some microseconds, several times
a layer. Launched early, a kernel's programs take the places that the last ones of the kernel before
leave, and may read what no kernel writes: weights, and where a step's tokens belong, which copies
bring before the step's first kernel (a kernel never starts before a copy has ended). Everything
else has to come after `wait_for_inputs`: writes too, since what they overwrite may still be read. A
kernel that waits has all kernels before it behind it, because each of them waited likewise.
"""

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def wait_for_inputs(EARLY: tl.constexpr):
    """Wait until all kernels before this one are done; from now on the next may start."""
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()


def early(device: torch.device) -> dict[str, Any]:
    """Return a kernel's arguments and options for an early start, where the device has it."""
    return {"EARLY": True, "launch_pdl": True} if can_start_early(device) else {"EARLY": False}


@cache
def shared_bytes(device: torch.device) -> int:
    """Return how much of a processor's memory a program may have; 99 KiB on most consumer cards."""
    if device.type != "cuda":
        return 227 * 1024
    properties: Any = torch.cuda.get_device_properties(device)
    return int(properties.shared_memory_per_block_optin)


@cache
def can_start_early(device: torch.device) -> bool:
    """Whether a device starts kernels early: Hopper and later."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)
