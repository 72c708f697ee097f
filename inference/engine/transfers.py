"""Small arrays to the device and back, without waiting for it.

On a GPU a plain copy waits until everything queued before it has run. The copies here go through
page-locked memory, in the order of the stream. PyTorch hands locked memory out again only when the
copies queued on it are done, so nobody has to keep an array until then. On a CPU nothing is copied.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def to_device(
    values: Sequence[float] | npt.NDArray[np.generic], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return the values as a tensor of the same shape on the device."""
    tensor = torch.as_tensor(values, dtype=dtype)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor


def into(target: Tensor, values: npt.NDArray[np.generic]) -> None:
    """Overwrite a tensor with values of its shape."""
    source = torch.as_tensor(values, dtype=target.dtype)
    target.copy_(source.pin_memory() if target.is_cuda else source, non_blocking=True)


class HostCopy:
    """A tensor on its way to the host."""

    def __init__(self, tensor: Tensor) -> None:
        """Queue the copy."""
        self._event: torch.cuda.Event | None = None
        self._tensor = tensor
        if tensor.is_cuda:
            self._tensor = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._tensor.copy_(tensor, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def get(self) -> Tensor:
        """Wait for what was queued before the copy, and for the copy; return it."""
        if self._event is not None:
            self._event.synchronize()
        return self._tensor
