"""How fast pages are by Lighthouse, as a phone on a slow network: `python benchmarks/pages.py`.

The whole site and the browser share the machine. Each page is opened a few times, and the median
of its scores counts, as Lighthouse's own advice is. Writes `results/pages-<machine>.json`.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.engine import RESULTS, machine, machine_name
from tests.conformance.lighthouse import INSIDE, PUBLIC, Seen, look_at
from tests.shown_site import EMAIL, make_history
from tests.story.site import embedded_site

ROUNDS = 3


def measure(rounds: int) -> list[dict[str, Any]]:
    with (
        tempfile.TemporaryDirectory(prefix="parlance-pages-") as folder,
        embedded_site(Path(folder), ENGINE_FAKE="true") as site,
    ):
        make_history(site)
        rows = []
        for paths, email in ((PUBLIC, ""), (INSIDE, EMAIL)):
            seen = look_at(site, paths * rounds, ["performance"], email)
            rows += [row(path, bool(email), seen) for path in paths]
    return rows


def row(path: str, inside: bool, seen: list[Seen]) -> dict[str, Any]:
    scores = [page.scores["performance"] for page in seen if page.path == path]
    worst = min(
        (page for page in seen if page.path == path), key=lambda page: page.scores["performance"]
    )
    return {
        "path": path,
        "inside": inside,
        "performance": statistics.median(scores),
        "scores": scores,
        "findings_of_the_worst": [finding.splitlines()[0][:200] for finding in worst.findings],
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"| {row['path']} | {row['performance']:.0f} | {row['scores']} |" for row in rows]
    return "\n".join(["| page | performance | each time |", "|---|--:|---|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=RESULTS / f"pages-{machine_name()}.json")
    args = parser.parse_args()
    results = {"machine": machine(), "pages": measure(args.rounds)}
    args.output.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results["pages"]))


if __name__ == "__main__":
    main()
