"""What a device can do: how much it copies and multiplies in a second."""

import time

import torch


class Clock:
    """Seconds of what a device was asked for, once it is done."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def copy_bandwidth(device: torch.device, size: int) -> float:
    """Return bytes read and written per second."""
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target, clock = torch.empty_like(source), Clock(device)
    for _ in range(3):
        target.copy_(source)
    began, repeats = clock.now(), 20
    for _ in range(repeats):
        target.copy_(source)
    return 2 * size * repeats / (clock.now() - began)


def matrix_rate(device: torch.device, side: int) -> float:
    """Return operations per second of a product of bfloat16 matrices of random numbers."""
    a, b = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    clock, repeats = Clock(device), 20
    for _ in range(3):
        a @ b
    began = clock.now()
    for _ in range(repeats):
        a @ b
    return 2 * side**3 * repeats / (clock.now() - began)


def ceilings(device: torch.device, *, tiny: bool) -> dict[str, float]:
    """Measure both; the product first and last, since the first brings the clocks up."""
    side = 256 if tiny else 8192
    first = matrix_rate(device, side)
    copied = copy_bandwidth(device, 1 << (24 if tiny else 32))
    return {"copy_bytes_per_s": copied, "matrix_flops": max(first, matrix_rate(device, side))}
