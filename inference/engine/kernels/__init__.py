"""Triton kernels of the engine on GPUs. Its modules are imported there only, and by their tests."""

import importlib
import logging
from functools import cache

import torch

logger = logging.getLogger(__name__)

# Compute capability: Ampere. Before it tensor cores have no bfloat16, and a tile of the attention
# takes more memory than a program may have.
OLDEST = (8, 0)


def available(device: torch.device) -> bool:
    """Whether they run on a device: CUDA, not too old, with Triton able to start a kernel."""
    return device.type == "cuda" and _is_recent(device) and _can_start()


@cache
def _is_recent(device: torch.device) -> bool:
    recent = torch.cuda.get_device_capability(device) >= OLDEST
    if not recent:
        logger.warning("This GPU is older than the kernels' kind: PyTorch's operators run, slower.")
    return recent


@cache
def _can_start() -> bool:
    """Let Triton make its driver, of which a part is C that is compiled on the machine."""
    try:
        driver = importlib.import_module("triton.runtime").driver
        return driver.active is not None
    except Exception as error:
        logger.warning(
            "Triton's kernels cannot run here, so PyTorch's operators do, and slower. They need "
            "Triton, a C compiler and Python's headers (Debian: gcc, python3-dev): %s",
            error,
        )
        return False
