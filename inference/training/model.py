"""The Llama architecture as it is trained here: plain matrices, attention within one document only.

The parameter names are those of `LlamaForCausalLM`, so exporting is saving. Written out rather than
taken from transformers because the CPU's fused attention is slow in backward: compiled, this form
trained 1.6 times as many tokens per second.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn


@dataclass(frozen=True)
class ModelShape:
    vocabulary: int = 4096
    width: int = 192
    layers: int = 6
    heads: int = 3
    kv_heads: int = 3
    hidden: int = 544
    context: int = 2048
    rope_theta: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


class Norm(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape.width))
        self.epsilon = shape.epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.epsilon)


class Attention(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_width
        self.q_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.k_proj = nn.Linear(shape.width, kv_width, bias=False)
        self.v_proj = nn.Linear(shape.width, kv_width, bias=False)
        self.o_proj = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, visible: Tensor) -> Tensor:
        batch, length, width = x.shape
        group = self.shape.heads // self.shape.kv_heads
        q = _rotate(self._heads(self.q_proj(x)), cos, sin)  # [batch, heads, length, head_width]
        k = _rotate(self._heads(self.k_proj(x)), cos, sin).repeat_interleave(group, 1)
        v = self._heads(self.v_proj(x)).repeat_interleave(group, 1)
        scores = (q @ k.transpose(-1, -2)) * self.shape.head_width**-0.5
        scores = scores.masked_fill(~visible, float("-inf"))
        weights = torch.softmax(scores.float(), -1).to(v.dtype)
        mixed: Tensor = self.o_proj((weights @ v).transpose(1, 2).reshape(batch, length, width))
        return mixed

    def _heads(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        return x.view(batch, length, -1, self.shape.head_width).transpose(1, 2)


class FeedForward(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down_proj = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return mixed


class Layer(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape)
        self.mlp = FeedForward(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, visible: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, visible)
        mixed: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return mixed


class Decoder(nn.Module):
    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape)


class StarterModel(nn.Module):
    """Input and output embeddings are one matrix."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        cos, sin = rotary_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
        """All [batch, length]. Returns logits [batch, length, vocabulary]."""
        visible = visibility(segments)
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x, cos, sin, visible)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)


def visibility(segments: Tensor) -> Tensor:
    """[batch, 1, length, length]: who sees whom. Earlier tokens of one document, and itself."""
    length = segments.shape[1]
    same = segments[:, None, :, None] == segments[:, None, None, :]
    return same & torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()


def rotary_tables(shape: ModelShape) -> tuple[Tensor, Tensor]:
    """Cosines and sines [context, head_width], both halves alike (Su et al. 2021, as in Llama)."""
    exponents = torch.arange(0, shape.head_width, 2, dtype=torch.float32) / shape.head_width
    angles = torch.outer(torch.arange(shape.context).float(), shape.rope_theta**-exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return (x * cos + torch.cat((-second, first), -1) * sin).to(x.dtype)
