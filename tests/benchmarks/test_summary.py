"""What the benchmark makes of its runs."""

import math

import pytest

from benchmarks.client import Answer, Run
from benchmarks.summary import percentile, summarise, tables


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = range(1, 101)
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile(values, 100) == 100
    assert percentile([7.0], 1) == 7.0
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    assert math.isnan(percentile([], 50))


def test_it_counts_tokens_over_the_wall_and_times_from_each_request() -> None:
    run = Run([Answer(1.0, [1.5, 1.6, 1.8], 100, 3), Answer(2.0, [2.1, 2.4], 102, 3)], wall_s=2.0)
    row = summarise(run)
    assert row["output_tokens_per_s"] == 3.0
    assert (row["ttft_ms_p50"], row["ttft_ms_p99"]) == pytest.approx((100.0, 500.0))
    assert (row["itl_ms_p50"], row["itl_ms_p99"]) == pytest.approx((200.0, 300.0))
    assert (row["num_requests"], row["prompt_tokens_mean"]) == (2, 101.0)
    assert row["tokens_per_arrival"] == 1.2


def test_there_is_a_table_for_each_shape_and_concurrency() -> None:
    row = {"output_tokens_per_s": 81.0, "dtype": "bfloat16"}
    made = tables(
        [
            {"shape": "10m", "concurrency": 1, "engine": "ours", **row},
            {"shape": "10m", "concurrency": 16, "engine": "ours", **row},
            {"shape": "10m", "concurrency": 1, "engine": "theirs", **row},
        ]
    )
    first, second = made.split("### ")[1:]
    assert first.startswith("10m, 1 at a time")
    assert first.index("| ours | bfloat16 | 81.0 |") < first.index("| theirs |")
    assert second.startswith("10m, 16 at a time")
    assert "theirs" not in second
