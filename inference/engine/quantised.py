"""Weights as int8 numbers with one scale per output, and what a model needs to run on them.

A float matrix is rounded once, when the model is loaded, and let go. Products widen the numbers
again: activations stay as they are (PyTorch's operators on CPUs round them to bfloat16, the only
width for which they are fast there; `native/` does not). Every form of a model, transformers'
modules and the lean one, reads the same numbers, so forms of a quantised model agree with one
another like those of others; what rounding costs in quality is measured by
`benchmarks/quantisation.py`.
"""

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

logger = logging.getLogger(__name__)

LARGEST = 127
# Up to so many rows, PyTorch's own product of int8 weights is faster than widening them first. It
# reads so many inputs at a time, past the end of a row that is no multiple of them.
FEW = 8
READ_AT_A_TIME = 16
# Numbers: what a CPU's caches hold. On GPUs most matrices at once, since small products leave most
# of one idle, and there are two launches for each part.
WIDENED_AT_A_TIME, WIDENED_ON_GPUS = 1 << 22, 1 << 27


class Int8Linear(nn.Module):
    """x ↦ x · weightᵀ + bias."""

    values: Tensor  # int8 (N, K)
    scales: Tensor  # float32 (N,), each a number that bfloat16 has too
    bias: Tensor | None  # (N,)

    def __init__(self, values: Tensor, scales: Tensor, bias: Tensor | None) -> None:
        """Take what `rounded` made of a weight, and a float bias (N,)."""
        super().__init__()
        self.register_buffer("values", values)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", bias)

    @classmethod
    def joined(cls, parts: "list[Int8Linear]") -> "Int8Linear":
        """Return one product for several with the same input; the parts become views of it."""
        values = torch.cat([part.values for part in parts])
        views = torch.split(values, [len(part.values) for part in parts])
        for part, view in zip(parts, views, strict=True):
            part.values = view
        biases = [part.bias for part in parts if part.bias is not None]
        scales = torch.cat([part.scales for part in parts])
        return cls(values, scales, torch.cat(biases) if biases else None)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (…, K) to (…, N) of the same dtype."""
        on_cpu = x.device.type == "cpu"
        rows = x.flatten(0, -2).to(torch.bfloat16 if on_cpu else x.dtype)  # (T, K)
        if on_cpu and len(rows) <= FEW and rows.shape[1] % READ_AT_A_TIME == 0:
            scales = self.scales.to(rows.dtype)
            out = torch._weight_int8pack_mm(rows, self.values, scales).to(x.dtype)  # noqa: SLF001
        else:
            out = self._widened(rows).to(x.dtype) * self.scales.to(x.dtype)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], len(self.scales))

    def _widened(self, rows: Tensor) -> Tensor:
        """Multiply rows (T, K) with the unscaled numbers, widening some of them at a time."""
        most = WIDENED_AT_A_TIME if rows.device.type == "cpu" else WIDENED_ON_GPUS
        step = max(1, most // self.values.shape[1])
        if len(self.values) <= step:
            return linear(rows, self.values.to(rows.dtype))
        parts = [linear(rows, part.to(rows.dtype)) for part in torch.split(self.values, step)]
        return torch.cat(parts, -1)


class Int8Embedding(nn.Module):
    """The rows of a head's weight, for models whose embedding is the same matrix."""

    def __init__(self, head: Int8Linear, dtype: torch.dtype) -> None:
        """Look up rows as `dtype`."""
        super().__init__()
        self.head = head
        self.dtype = dtype

    def forward(self, token_ids: Tensor) -> Tensor:
        """Map ids (…) to rows (…, K)."""
        scales = self.head.scales[token_ids].unsqueeze(-1)
        return (self.head.values[token_ids] * scales).to(self.dtype)


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 numbers (N, K) and float32 scales (N,) whose product is near weight (N, K).

    Symmetric, to the nearest: the largest of each row becomes ±127.
    """
    largest = weight.detach().float().abs().amax(1)
    # A scale that bfloat16 cannot hold would be rounded in the product, after the numbers were.
    scales = (largest / LARGEST).clamp(min=torch.finfo(torch.float32).tiny).bfloat16().float()
    values = (weight.detach().float() / scales.unsqueeze(1)).round_().clamp_(-LARGEST, LARGEST)
    return values.to(torch.int8).contiguous(), scales


def quantise(module: Any) -> None:
    """Round the weights of a transformers model in place: all linear layers, and a tied embedding.

    ValueError when it has none. Norms, biases and an embedding of its own stay as they are.
    """
    embedding, head = module.get_input_embeddings(), module.get_output_embeddings()
    tied = head is not None and head.weight is embedding.weight
    before = num_weights(module)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, _take(child.weight, child.bias))
            elif isinstance(child, Conv1D):
                setattr(parent, name, _take(child.weight.t(), child.bias))
    if tied:
        dtype = embedding.weight.dtype
        module.set_input_embeddings(Int8Embedding(module.get_output_embeddings(), dtype))
    num_rounded = sum(layer.values.numel() for layer in module.modules() if is_rounded(layer))
    if not num_rounded:
        raise ValueError(f"{module.config.model_type} has no linear layers to quantise.")
    logger.info("%d of %d weights are int8", num_rounded, before)


def _take(weight: Tensor, bias: Tensor | None) -> Int8Linear:
    return Int8Linear(*rounded(weight), bias.detach() if bias is not None else None)


def is_rounded(module: nn.Module) -> bool:
    """Whether a layer is one of ours."""
    return isinstance(module, Int8Linear)


def num_weights(module: Any) -> int:
    """Count a model's weights, rounded or not."""
    held = [*module.parameters()]
    for layer in filter(is_rounded, module.modules()):
        held += [layer.values, layer.bias] if layer.bias is not None else [layer.values]
    return sum(tensor.numel() for tensor in held)
