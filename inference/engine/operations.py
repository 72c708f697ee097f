"""What a decoder of the Llama kind is made of: its matrix products and what lies between them.

`TorchOperations` says in PyTorch what each does, for any device. `kernels/layer.py` has them for
GPUs, where what lies between two products is one kernel.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, silu

from inference.engine.linear import Linear
from inference.engine.quantised import Int8Linear

Product = Linear | Int8Linear


class Operations(ABC):
    """The parts of a layer. T tokens, H numbers in a token's residual stream."""

    @abstractmethod
    def add_rms_norm(
        self, x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float
    ) -> Tensor:
        """Add to x (T, H) in place; return the normalised sum."""

    @abstractmethod
    def silu_product(self, both: Tensor) -> Tensor:
        """Return silu(gate) · up of both (T, 2 F), gate first."""

    @abstractmethod
    def rotate_and_store(
        self,
        qkv: Tensor,
        cosines: Tensor,
        sines: Tensor,
        positions: Tensor,
        slots: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        epsilon: float,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Store keys and values in the cache; return queries (T, Hq, D)."""

    def product(self, x: Tensor, product: Product) -> Tensor:
        """Map x (T, K) to (T, N)."""
        return product(x)

    def normed_product(
        self, x: Tensor, added: Tensor | None, norm: Tensor, epsilon: float, product: Product
    ) -> tuple[Tensor, Tensor]:
        """Return x + added (T, H), perhaps in x's place, and the product of its norm (T, N)."""
        return x, product(self.add_rms_norm(x, added, norm, epsilon))

    def gated_product(
        self, x: Tensor, added: Tensor, norm: Tensor, epsilon: float, product: Product
    ) -> tuple[Tensor, Tensor]:
        """The same, of a product (T, 2 F) that is a gate and what it gates: (T, F)."""
        x, both = self.normed_product(x, added, norm, epsilon, product)
        return x, self.silu_product(both)


class TorchOperations(Operations):
    """The parts in PyTorch, for any device."""

    def add_rms_norm(
        self, x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float
    ) -> Tensor:
        if added is not None:
            x += added
        return rms_norm(x, (x.shape[-1],), weight, epsilon)

    def silu_product(self, both: Tensor) -> Tensor:
        gate, up = both.chunk(2, dim=-1)
        return silu(gate) * up

    def rotate_and_store(
        self,
        qkv: Tensor,
        cosines: Tensor,
        sines: Tensor,
        positions: Tensor,
        slots: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        epsilon: float,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        _, _, kv_heads, dim = keys.shape
        heads = qkv.shape[1] // dim - 2 * kv_heads
        query, key, value = torch.split(qkv.view(len(qkv), -1, dim), [heads, kv_heads, kv_heads], 1)
        if norms is not None:
            query = rms_norm(query, (dim,), norms[0], epsilon)
            key = rms_norm(key, (dim,), norms[1], epsilon)
        cosine, sine = cosines[positions].unsqueeze(1), sines[positions].unsqueeze(1)
        keys.flatten(0, 1).index_copy_(0, slots, _rotate(key, cosine, sine).to(keys.dtype))
        values.flatten(0, 1).index_copy_(0, slots, value.to(values.dtype))
        return _rotate(query, cosine, sine)


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate x (T, heads, D) by float32 (T, 1, half); what lies beyond 2 · half stays."""
    half = cosine.shape[-1]
    a, b, rest = torch.split(x.float(), [half, half, x.shape[-1] - 2 * half], -1)
    return torch.cat((a * cosine - b * sine, b * cosine + a * sine, rest), -1).to(x.dtype)
