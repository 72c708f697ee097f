"""Drawing on GPUs, run in Triton's interpreter, draws what PyTorch's operators draw."""

import numpy as np
import pytest
import torch

import tests.interpreted  # noqa: F401  quicker
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


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_row_without_any_number_still_names_a_token(logits: torch.Tensor) -> None:
    logits[1:3] = torch.nan  # one at temperature 0, one not
    token_ids, highest = triton_draw(logits, TEMPERATURES, np.full(len(TEMPERATURES), 0.4))
    assert highest.isnan().tolist() == [False, True, True, False, False, False]
    assert ((token_ids >= 0) & (token_ids < logits.shape[1])).all()


def test_of_tokens_that_are_equally_likely_the_first_is_chosen(logits: torch.Tensor) -> None:
    places = [7, 9, logits.shape[1] - 1]  # in the last piece, too
    logits[1, places] = 50.0
    token_ids, _ = triton_draw(logits, TEMPERATURES, np.full(len(TEMPERATURES), 0.4))
    assert token_ids[1] == 7


def test_rows_may_lie_apart(logits: torch.Tensor) -> None:
    points = np.full(len(TEMPERATURES), 0.4)
    wide = torch.full((len(logits), logits.shape[1] + 3), torch.nan)
    apart = wide[:, : logits.shape[1]].copy_(logits)
    for ours, theirs in zip(
        *(triton_draw(x, TEMPERATURES, points) for x in (apart, logits)), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_no_rows_are_drawn_for(logits: torch.Tensor) -> None:
    token_ids, highest = triton_draw(logits[:0], [], np.zeros(0))
    assert len(token_ids) == len(highest) == 0
