"""Tokens are drawn as softmax says, by any row's own temperature and point."""

import pytest
import torch
from torch import Tensor

from inference.engine.native.draw import native_draw
from inference.engine.sampler import softmax_draw

VOCABULARY = [1, 7, 16, 255, 256, 257, 1000, 5003]
LARGEST = 300_007  # whose blocks are larger


def draw(logits: Tensor, temperatures: Tensor, points: Tensor) -> Tensor:
    native = native_draw()
    assert native is not None
    token_ids, highest = native(logits, temperatures.tolist(), points.numpy())
    sound = ~logits.isnan().any(-1)
    assert torch.equal(highest[sound], logits.float().amax(-1)[sound])
    assert highest[~sound].isnan().all()
    return token_ids


@pytest.mark.parametrize("size", [*VOCABULARY, LARGEST])
def test_it_draws_what_the_operators_draw(size: int) -> None:
    torch.manual_seed(size)
    rows = 400 if size < LARGEST else 20
    logits = 3 * torch.randn(rows, size)
    temperatures = torch.rand(rows) * 2 + 1e-5
    temperatures[::5] = 0
    points = torch.rand(rows, dtype=torch.float64)
    ours = draw(logits, temperatures, points)
    theirs, _ = softmax_draw(logits.double(), temperatures.tolist(), points.numpy())
    assert torch.equal(ours[::5], logits.argmax(-1)[::5])
    # A point within a rounding of the border between two tokens may fall on either side.
    assert (ours != theirs).sum() <= 2


def test_of_equal_logits_the_first_is_the_likeliest() -> None:
    logits = torch.zeros(1, 40)
    logits[0, [17, 33]] = 2
    assert draw(logits, torch.zeros(1), torch.zeros(1, dtype=torch.float64)).tolist() == [17]


@pytest.mark.parametrize("size", VOCABULARY)
def test_the_ends_of_the_range_are_the_first_and_the_last_possible_token(size: int) -> None:
    logits = torch.zeros(2, size)
    points = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, torch.ones(2), points).tolist() == [0, size - 1]
    logits[:, 0] = logits[:, -1] = -torch.inf
    if size > 2:
        assert draw(logits, torch.ones(2), points).tolist() == [1, size - 2]


def test_where_rounding_leaves_the_sum_below_the_point_the_last_possible_token_is_drawn() -> None:
    torch.manual_seed(1)
    logits = torch.randn(500, 600)
    logits[:, 300:] = -torch.inf
    points = torch.full((500,), 1 - 2**-53, dtype=torch.float64)
    assert draw(logits, torch.ones(500), points).unique().tolist() == [299]


def test_a_row_depends_on_no_other() -> None:
    torch.manual_seed(0)
    logits, points = torch.randn(64, 20_000), torch.rand(64, dtype=torch.float64)  # by two threads
    temperatures = torch.rand(64) + 0.1
    together = draw(logits, temperatures, points)
    logits[1::2] = torch.nan
    assert torch.equal(draw(logits, temperatures, points)[::2], together[::2])
    alone = [draw(logits[i : i + 1], temperatures[i : i + 1], points[i : i + 1]) for i in range(64)]
    assert torch.equal(torch.cat(alone)[::2], together[::2])


def test_almost_no_temperature_is_the_likeliest() -> None:
    logits = torch.randn(50, 999, generator=torch.Generator().manual_seed(4))
    points = torch.rand(50, dtype=torch.float64)
    assert torch.equal(draw(logits, torch.full((50,), 1e-5), points), logits.argmax(-1))
