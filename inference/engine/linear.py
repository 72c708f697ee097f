"""Matrix products with fixed weights.

On the CPU the weights are laid out once the way oneDNN's products read them; a plain product lays
them out again each time. Measured with 768 × 2304 weights: twice as fast for one token, and for
many in float32.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

# What torch.compile uses for frozen weights on CPUs; there is no public name for it.
_onednn: Any = torch.ops.mkldnn
_backend: Any = torch.backends.mkldnn


class Linear:
    """x ↦ x · weightᵀ + bias, for one device and dtype."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Take weights (N, K) and bias (N,)."""
        self.bias = bias
        self._packed = _may_pack(weight)
        self._weight = _onednn._reorder_linear_weight(weight) if self._packed else weight  # noqa: SLF001

    @property
    def weight(self) -> Tensor | None:
        """(N, K), unless it was laid out anew."""
        return None if self._packed else self._weight

    def __call__(self, x: Tensor) -> Tensor:
        """Map x (T, K) to (T, N)."""
        if not self._packed:
            return linear(x, self._weight, self.bias)
        out: Tensor = _onednn._linear_pointwise(x, self._weight, self.bias, "none", [], "")  # noqa: SLF001
        return out


def _may_pack(weight: Tensor) -> bool:
    """Ask oneDNN, which takes half the bits only where the processor has instructions for them."""
    if weight.device.type != "cpu" or not _backend.is_available():
        return False
    if weight.dtype is torch.bfloat16:
        return bool(_onednn._is_mkldnn_bf16_supported())  # noqa: SLF001
    if weight.dtype is torch.float16:
        return bool(_onednn._is_mkldnn_fp16_supported())  # noqa: SLF001
    return weight.dtype is torch.float32
