"""Batches: every row once, little padding, not too many rows."""

from hypothesis import given
from hypothesis import strategies as st

from inference.engine.encoders.batches import FREE_PADDING, MOST_PADDING, cut

LENGTHS = st.lists(st.integers(1, 512), max_size=200)


@given(lengths=LENGTHS, most_rows=st.integers(1, 64))
def test_every_row_is_in_one_batch_with_others_of_its_length(
    lengths: list[int], most_rows: int
) -> None:
    batches = cut(lengths, most_rows)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= most_rows
        longest = max(lengths[index] for index in batch)
        padding = sum(longest - lengths[index] for index in batch)
        assert padding <= FREE_PADDING + MOST_PADDING * longest * len(batch)


def test_rows_of_one_length_are_one_batch() -> None:
    assert [len(batch) for batch in cut([100] * 40, 64)] == [40]


def test_a_long_row_does_not_stretch_short_ones() -> None:
    assert cut([8, 512, 9, 7, 500], 64) == [[1, 4], [2, 0, 3]]
