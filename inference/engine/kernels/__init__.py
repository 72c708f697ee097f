"""Triton kernels of the engine on GPUs. Its modules are imported there only, and by their tests."""

import importlib.util

import torch


def available(device: torch.device) -> bool:
    """Whether they run on a device: CUDA, with Triton installed."""
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None
