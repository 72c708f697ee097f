"""The tensors behind the blocks.

One pair of tensors per layer, indexed by block and offset. Layers may differ in shape. Block 0 is
never handed out and stays zero: whatever points past a sequence's end points there, so what a
masked position holds can never be another sequence's NaN. One more block than that, `spill`, takes
what rows that are nobody's write. The numbers' dtype may be another one than the model's.
"""

import math
import weakref
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference.engine import huge_pages
from inference.engine.ahead import Ahead
from inference.engine.native.touch import native_touch


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What one attention layer stores for a token."""

    num_heads: int
    key_dim: int
    value_dim: int

    @property
    def num_values(self) -> int:
        """Numbers stored for one token."""
        return self.num_heads * (self.key_dim + self.value_dim)


class KVCache:
    """Keys and values of every layer."""

    def __init__(
        self,
        shapes: list[LayerShape],
        num_blocks: int,
        block_size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """Allocate blocks 0..num_blocks, and the spill."""
        self.block_size = block_size
        self.dtype = dtype
        self.spill = num_blocks + 1
        self.keys: list[Tensor] = []  # each (num_blocks + 2, block_size, num_heads, key_dim)
        self.values: list[Tensor] = []  # each (num_blocks + 2, block_size, num_heads, value_dim)
        for shape in shapes:
            size = (num_blocks + 2, block_size, shape.num_heads)
            self.keys.append(_allocate((*size, shape.key_dim), dtype, device))
            self.values.append(_allocate((*size, shape.value_dim), dtype, device))
        self._scratch = [torch.empty(0, dtype=dtype, device=device) for _ in range(2)]
        self._ahead: Ahead | None = None

    def stay_ahead(self) -> None:
        """From now on, make a CPU's memory real before blocks are used."""
        touch = native_touch() if self.keys[0].device.type == "cpu" else None
        if touch is not None:
            self._ahead = Ahead([*self.keys, *self.values], touch)
            weakref.finalize(self, self._ahead.stop)

    def use(self, blocks: npt.NDArray[np.int64]) -> None:
        """A step uses these blocks."""
        if self._ahead is not None:
            self._ahead.use(int(blocks.max()))

    def write(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> None:
        """Store key (T, heads, key_dim) and value (T, heads, value_dim) at slots (T,)."""
        self.keys[layer].flatten(0, 1).index_copy_(0, slots, key.to(self.dtype))
        self.values[layer].flatten(0, 1).index_copy_(0, slots, value.to(self.dtype))

    def gather(self, layer: int, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Copy blocks (B,) of keys and values: (B, block_size, heads, dim) each.

        The copies last until the next call: their memory is used again, because asking the system
        for megabytes anew in every layer took longer than the copying.
        """
        return (
            self._copy(0, self.keys[layer], blocks),
            self._copy(1, self.values[layer], blocks),
        )

    def _copy(self, place: int, source: Tensor, blocks: Tensor) -> Tensor:
        shape = (blocks.shape[0], *source.shape[1:])
        needed = math.prod(shape)
        if self._scratch[place].numel() < needed:
            self._scratch[place] = source.new_empty(needed)
        target = self._scratch[place][:needed].view(shape)
        return torch.index_select(source, 0, blocks, out=target)

    def clear(self, layer: int, blocks: Tensor) -> None:
        """Zero whole blocks (B,)."""
        if blocks.numel():
            self.keys[layer].index_fill_(0, blocks, 0)
            self.values[layer].index_fill_(0, blocks, 0)


def _allocate(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a tensor whose block 0 is zero.

    The CPU's memory is left untouched, so that it becomes real only when a block is used: attention
    reads no more of a block than `clear` and `write` have filled.
    """
    if device.type != "cpu":
        return torch.zeros(size, dtype=dtype, device=device)
    return huge_pages.empty(size, dtype)


def bytes_per_block(shapes: list[LayerShape], block_size: int, dtype: torch.dtype) -> int:
    """Memory of one block in all layers."""
    return sum(shape.num_values for shape in shapes) * block_size * dtype.itemsize
