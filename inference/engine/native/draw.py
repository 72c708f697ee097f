"""Draws tokens by `draw.c`, in one call for all rows of a step."""

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from inference.engine.native.compiler import load_library

_number, _pointer = ctypes.c_int64, ctypes.c_void_p


def native_draw() -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    """Return what draws by softmax; None where it cannot be compiled.

    It takes logits (R, V), temperatures (R,) above 0 and points (R,) in [0, 1), and returns token
    ids (R,). Logits that are no numbers give any token. It uses as many threads as PyTorch does
    when this is called.
    """
    library = load_library()
    if library is None:
        return None
    draw = library.draw
    draw.argtypes = [_number, _number, *[_pointer] * 4, _number]
    draw.restype = None
    threads = torch.get_num_threads()

    def drawn(logits: Tensor, temperatures: Tensor, points: Tensor) -> Tensor:
        logits, temperatures = logits.float().contiguous(), temperatures.float().contiguous()
        points = points.double().contiguous()
        token_ids = torch.empty(len(logits), dtype=torch.int64)
        draw(
            *logits.shape,
            logits.data_ptr(),
            temperatures.data_ptr(),
            points.data_ptr(),
            token_ids.data_ptr(),
            threads,
        )
        return token_ids

    return drawn
