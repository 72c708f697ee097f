"""Draws tokens by `draw.c`, in one call for all rows of a step."""

import ctypes
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference.engine.native.compiler import load_library

_number, _pointer = ctypes.c_int64, ctypes.c_void_p

Draw = Callable[[Tensor, Sequence[float], npt.NDArray[np.float64]], tuple[Tensor, Tensor]]


def native_draw() -> Draw | None:
    """Return what draws by softmax; None where it cannot be compiled.

    It takes logits (R, V), temperatures (R,) and points (R,) in [0, 1), and returns token ids (R,)
    and the highest logits (R,). Temperature 0 is the likeliest token. Where a logit is no number,
    the highest is none, and the token may be any. It uses as many threads as PyTorch does when this
    is called.
    """
    library = load_library()
    if library is None:
        return None
    draw = library.draw
    draw.argtypes = [_number, _number, *[_pointer] * 5, _number]
    draw.restype = None
    threads = torch.get_num_threads()

    def drawn(
        logits: Tensor, temperatures: Sequence[float], points: npt.NDArray[np.float64]
    ) -> tuple[Tensor, Tensor]:
        logits = logits.float().contiguous()
        divisors = np.array(temperatures, dtype=np.float32)
        token_ids = torch.empty(len(logits), dtype=torch.int64)
        highest = torch.empty(len(logits), dtype=torch.float32)
        draw(
            *logits.shape,
            logits.data_ptr(),
            divisors.ctypes.data,
            points.ctypes.data,
            token_ids.data_ptr(),
            highest.data_ptr(),
            threads,
        )
        return token_ids, highest

    return drawn
