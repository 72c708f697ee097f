"""What is told of an answer's speed."""

import pytest

from inference.spec import tokens_per_s


@pytest.mark.parametrize(
    ("output_tokens", "after_first_s", "told"),
    [
        (16, 0.00009, None),  # all of them let come at once
        (16, 0.0, None), (16, 0.0049, None), (1, 1.0, None), (0, 1.0, None),
        (16, 0.01, 1_500.0), (2, 1.0, 1.0),
    ],
)  # fmt: skip
def test_a_speed_that_cannot_be_measured_is_not_told(
    output_tokens: int, after_first_s: float, told: float | None
) -> None:
    assert tokens_per_s(output_tokens, after_first_s) == told
