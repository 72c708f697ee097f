"""Triton kernels of the engine on GPUs. Its modules are imported there only, and by their tests."""

import importlib
import logging
from functools import cache

import torch

logger = logging.getLogger(__name__)


def available(device: torch.device) -> bool:
    """Whether they run on a device: CUDA, with Triton installed and able to start a kernel."""
    return device.type == "cuda" and _can_start()


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
