"""Drawing on GPUs, run in Triton's interpreter, draws what PyTorch's operators draw."""

import numpy as np
import pytest
import torch

from inference.engine.kernels.draw import triton_draw
from inference.engine.sampler import softmax_draw

TEMPERATURES = [1.0, 0.0, 0.7, 1.3, 1e-5, 1.0]


@pytest.fixture(params=[50, 4096, 9000], ids=["part of a piece", "a piece", "three pieces"])
def logits(request: pytest.FixtureRequest) -> torch.Tensor:
    torch.manual_seed(0)
    logits = torch.randn(len(TEMPERATURES), request.param) * 3
    logits[3, : request.param // 2] = -torch.inf  # what a grammar leaves
    logits[5] = -torch.inf
    logits[5, -2] = 1.0
    return logits


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_same_points_draw_the_same_tokens(
    logits: torch.Tensor, dtype: torch.dtype, seed: int
) -> None:
    points = np.random.default_rng(seed).random(len(TEMPERATURES))
    logits = logits.to(dtype)
    ours, theirs = (draw(logits, TEMPERATURES, points) for draw in (triton_draw, softmax_draw))
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1].float())


@pytest.mark.parametrize("point", [0.0, 1.0 - 2.0**-53])
def test_the_ends_of_the_range_draw_tokens_that_can_be_drawn(
    logits: torch.Tensor, point: float
) -> None:
    points = np.full(len(TEMPERATURES), point)
    token_ids, _ = triton_draw(logits, TEMPERATURES, points)
    assert logits.gather(1, token_ids.unsqueeze(1)).isfinite().all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy has something to say of them
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_row_that_is_not_a_number_says_so_and_harms_no_other(
    logits: torch.Tensor, bad: float
) -> None:
    points = np.full(len(TEMPERATURES), 0.4)
    before, _ = triton_draw(logits, TEMPERATURES, points)
    logits[2, 7] = bad
    token_ids, highest = triton_draw(logits, TEMPERATURES, points)
    assert highest.isfinite().tolist() == [True, True, False, True, True, True]
    assert 0 <= token_ids[2] < logits.shape[1]
    others = [0, 1, 3, 4, 5]
    assert torch.equal(token_ids[others], before[others])
