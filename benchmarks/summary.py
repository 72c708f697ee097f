"""What the runs of a benchmark come to: percentiles, rates, a table in Markdown."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.client import Run

COLUMNS = {
    "engine": "engine",
    "dtype": "dtype",
    "output_tokens_per_s": "tokens/s",
    "ttft_ms_p50": "TTFT p50",
    "ttft_ms_p99": "TTFT p99",
    "itl_ms_p50": "ITL p50",
    "itl_ms_p99": "ITL p99",
    "tokens_per_arrival": "tokens at once",
    "num_requests": "requests",
}


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of the values do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def summarise(run: Run) -> dict[str, Any]:
    """Times in milliseconds; ITL is the time between two arrivals of one answer."""
    first = [(answer.arrivals[0] - answer.sent_at) * 1000 for answer in run.answers]
    between = [
        (later - earlier) * 1000
        for answer in run.answers
        for earlier, later in itertools.pairwise(answer.arrivals)
    ]
    output = sum(answer.output_tokens for answer in run.answers)
    prompts = sum(answer.prompt_tokens for answer in run.answers)
    num_arrivals = sum(len(answer.arrivals) for answer in run.answers)
    return {
        "num_requests": len(run.answers),
        "prompt_tokens_mean": round(prompts / len(run.answers), 1),
        "output_tokens": output,
        "tokens_per_arrival": round(output / num_arrivals, 3),
        "wall_s": round(run.wall_s, 3),
        "output_tokens_per_s": round(output / run.wall_s, 1),
        "ttft_ms_p50": round(percentile(first, 50), 2),
        "ttft_ms_p99": round(percentile(first, 99), 2),
        "itl_ms_p50": round(percentile(between, 50), 2),
        "itl_ms_p99": round(percentile(between, 99), 2),
    }


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Return one table for each shape and concurrency, in the order they were measured."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["shape"], row["concurrency"]), []).append(row)
    return "\n".join(
        f"### {shape}, {concurrency} at a time (milliseconds)\n\n{table(group)}"
        for (shape, concurrency), group in sorted(groups.items(), key=lambda item: item[0][1])
    )


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [list(COLUMNS.values()), ["---"] * len(COLUMNS)]
    lines += [[str(row.get(name, "")) for name in COLUMNS] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
