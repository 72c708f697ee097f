"""Weights to begin with: a model that can copy before it has learnt anything.

Copying ("the capital of France", a hero's name, the keys of an object) needs heads that find where
a token stood before, and plain training finds them late: from a random start there were none after
3.7 million tokens. So two circuits of the known form (Olsson et al. 2022, "induction heads") are
laid out by hand, in the spirit of mimetic initialisation (Trockman and Kolter 2023), and trained on
like the rest. They last only where something needs them; `repetition.py` sees to that.

The residual stream is divided for this. Place 0 is a constant, the same in every embedding, from
which rotary positions make a look at the previous token. Then one block per circuit holds what the
previous token was. The rest holds the token itself.
"""

from typing import cast

import torch
from torch import Tensor, nn

from inference.training.model import Layer, ModelShape, StarterModel

CIRCUITS = 2
CONSTANT = 6.0
SHARPNESS = 1.3
MATCH_GAIN = 1.7
COPY_GAIN = 1.5
WEIGHT_STD = 0.04
# The head's logits begin flat: embeddings of unit size serve as output weights too.
OUTPUT_SCALE = 0.02


def initialise(model: StarterModel) -> None:
    """Overwrites all weights, by PyTorch's global generator."""
    shape = model.shape
    if shape.kv_heads != shape.heads or shape.heads < CIRCUITS:
        raise ValueError("Each circuit needs a head with keys of its own.")
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=WEIGHT_STD)
        layers = cast("list[Layer]", list(model.model.layers))
        for layer in layers:
            nn.init.zeros_(layer.self_attn.o_proj.weight)
            nn.init.zeros_(layer.mlp.down_proj.weight)
        model.model.norm.weight.fill_(OUTPUT_SCALE)
        block = shape.head_width // 2
        first_own = 1 + CIRCUITS * block
        embeddings = model.model.embed_tokens.weight
        nn.init.normal_(embeddings, std=1.0)
        embeddings[:, :first_own] = 0.0
        embeddings[:, 0] = CONSTANT
        copied = _orthonormal(shape.width - first_own, shape.width - first_own)
        for circuit in range(CIRCUITS):
            code = _orthonormal(block, shape.width - first_own)  # [block, own places]
            places = slice(1 + circuit * block, 1 + (circuit + 1) * block)
            _look_at_previous(layers[0], shape, circuit, code, places)
            share = copied[circuit * shape.head_width : (circuit + 1) * shape.head_width]
            _find_and_copy(layers[1], shape, circuit, code, places, share)


def _look_at_previous(
    layer: Layer, shape: ModelShape, head: int, code: Tensor, places: slice
) -> None:
    """The head attends one token back and writes that token's code to `places`."""
    attention, start = layer.self_attn, head * shape.head_width
    rows = slice(start, start + shape.head_width)
    half = shape.head_width // 2
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight[rows] = 0.0
    # The scores are a sum of cos(angle · (distance - 1)) over the fast rotations.
    for pair in range(half // 4):
        angle = torch.tensor(shape.rope_theta ** (-pair / half))
        attention.q_proj.weight[start + pair, 0] = SHARPNESS
        attention.k_proj.weight[start + pair, 0] = SHARPNESS * angle.cos()
        attention.k_proj.weight[start + half + pair, 0] = SHARPNESS * angle.sin()
    own = slice(shape.width - code.shape[1], shape.width)
    attention.v_proj.weight[start : start + len(code), own] = code
    attention.o_proj.weight[places, start : start + len(code)] = torch.eye(len(code))


def _find_and_copy(
    layer: Layer, shape: ModelShape, head: int, code: Tensor, places: slice, copied: Tensor
) -> None:
    """The head attends to what came after the current token before, and adds that token itself.

    The code lies in the slow rotations, which hardly change over a few hundred tokens.
    """
    attention, start = layer.self_attn, head * shape.head_width
    rows = slice(start, start + shape.head_width)
    own = slice(shape.width - code.shape[1], shape.width)
    half = shape.head_width // 2
    slow = [start + pair + side for side in (0, half) for pair in range(half // 2, half)]
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight[rows] = 0.0
    attention.q_proj.weight[slow, own] = MATCH_GAIN * code
    attention.k_proj.weight[slow, places] = MATCH_GAIN * torch.eye(len(code))
    attention.v_proj.weight[start : start + len(copied), own] = copied
    attention.o_proj.weight[own, start : start + len(copied)] = COPY_GAIN * copied.T


def _orthonormal(rows: int, columns: int) -> Tensor:
    """Random rows at right angles, of length 1; rows may not be more than columns."""
    basis: Tensor = torch.linalg.qr(torch.randn(columns, rows))[0]
    return basis.T
