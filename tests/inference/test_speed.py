"""What is told of an answer's speed."""

import pytest

from inference.spec import tokens_per_s


@pytest.mark.parametrize(
    ("output_tokens", "decode_ms", "told"),
    [
        (16, 0, None),  # all of them let come at once
        (16, 4, None), (1, 1_000, None), (0, 1_000, None), (0, None, None), (16, None, None),
        (16, 5, 3_000.0), (16, 10, 1_500.0), (2, 1_000, 1.0),
    ],
)  # fmt: skip
def test_a_speed_that_cannot_be_measured_is_not_told(
    output_tokens: int, decode_ms: int | None, told: float | None
) -> None:
    assert tokens_per_s(output_tokens, decode_ms) == told
