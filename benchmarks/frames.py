"""How fluently the playground draws what streams: `python benchmarks/frames.py`.

A fake engine recites; the whole site and a headless Chromium share the machine. An answer as long
as 20,000 tokens of a model streams, of each kind of text, and four panes at once. Writes
`results/frames-<machine>.json`.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.engine import RESULTS, machine, machine_name
from benchmarks.summary import percentile

TOKENS = 20_000
CHARS_PER_TOKEN = 4  # of a common tokenizer, in English
# What the fake engine recites is a token for nearly every character.
FAKE_TOKENS_PER_S = 2_000
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "in", "quiet", "rain"]
SCRIPT = (Path(__file__).parent / "frames.js").read_text()
ADD_MODEL = """
from billing import pricing
from inference.models import ServedModel
for name in {names!r}:
    ServedModel.objects.create(name=name, position=-1, max_model_len={length})
    pricing.ensure_price(name, 10**6, 10**6, 10**6)
"""
WAIT_S = 300.0


@dataclass(frozen=True)
class Case:
    """What streams: a kind of text, in how many panes, of how many tokens each."""

    text: str
    panes: int
    tokens: int

    @property
    def model(self) -> str:
        return f"{self.text}-{self.panes}"


CASES = [
    *(Case(text, 1, TOKENS) for text in ("mixed", "list", "code", "paragraph")),
    Case("mixed", 4, TOKENS // 4),
]


def sentence(words: Iterator[str], length: int = 16) -> str:
    return " ".join(itertools.islice(words, length)).capitalize() + "."


def written(kind: str, num_tokens: int) -> str:
    """A text of one kind: all of it one block, or what answers are made of."""
    words = itertools.cycle(WORDS)
    length = num_tokens * CHARS_PER_TOKEN
    if kind == "list":
        parts = (f"- **{next(words)}**: {sentence(words)}\n" for _ in itertools.count())
    elif kind == "code":
        lines = (f'def {next(words)}_{n}(x):\n    return x + {n}  # {next(words)}\n'
                 for n in itertools.count())  # fmt: skip
        parts = itertools.chain(["```python\n"], lines)
    elif kind == "paragraph":
        parts = (sentence(words) + " " for _ in itertools.count())
    else:
        parts = (section(words, number) for number in itertools.count(1))
    text = ""
    while len(text) < length:
        text += next(parts)
    return text[:length]


def section(words: Iterator[str], number: int) -> str:
    """A heading, paragraphs, a list, a table and code."""
    paragraph = " ".join(sentence(words) for _ in range(5))
    items = "".join(f"{n}. `{next(words)}`: {sentence(words)}\n" for n in range(1, 6))
    rows = "".join(f"| {next(words)} | *{next(words)}* | {n} |\n" for n in range(6))
    code = "".join(f"    total += {next(words)}[{n}]  # {next(words)}\n" for n in range(12))
    return (
        f"## Part {number}\n\n{paragraph}\n\n{paragraph}\n\n{items}\n| a | b | c |\n|---|---|--:|\n"
        f"{rows}\n```python\ndef part_{number}(total):\n{code}    return total\n```\n\n"
    )


@contextmanager
def site_of(cases: list[Case]) -> Iterator[tuple[Any, str]]:
    """The product with an engine for each case, and a session of somebody with credit."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from tests.inference.engines import FakeEngine
    from tests.shown_site import EMAIL, make_history
    from tests.story.site import embedded_site, session_of

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parlance-frames-")))
        length = 2 * TOKENS * CHARS_PER_TOKEN
        engines = [
            FakeEngine(
                case.model, folder=folder, fake_text=written(case.text, case.tokens),
                fake_tokens_per_second=FAKE_TOKENS_PER_S / case.panes,
                max_model_len=length, kv_blocks=length // 4,
            )
            for case in cases
        ]  # fmt: skip
        for engine in engines:
            stack.callback(engine.stop)
            engine.start()
        addresses = ",".join(f"{engine.model}={engine.address}" for engine in engines)
        site = stack.enter_context(embedded_site(folder, ENGINES=addresses))
        make_history(site)
        names = [case.model for case in cases]
        site.manage("shell", "-v0", "-c", ADD_MODEL.format(names=names, length=length))
        yield site, session_of(site, EMAIL)


def measure(browser: Any, site: Any, session: str, case: Case) -> dict[str, Any]:
    from playwright.sync_api import expect

    from tests.browser import visitor

    size = {"width": 1440, "height": 900}
    with visitor(browser, site.url, viewport=size) as (page, _watch):
        page.context.add_cookies([{"name": "sessionid", "value": session, "url": site.url}])
        page.add_init_script(SCRIPT)
        page.goto(f"/playground/?model={case.model}")
        expect(page.get_by_test_id("run")).to_be_enabled(timeout=30_000)
        for _ in range(case.panes - 1):
            page.get_by_test_id("compare").click()
        page.locator("#composer textarea").fill("Go on.")
        page.get_by_test_id("run").click()
        page.wait_for_selector("[data-testid=answer] [data-text]:not(:empty)")
        page.evaluate("startCounting()")
        finished = page.locator("[data-testid=answer][data-state=finished]")
        expect(finished).to_have_count(case.panes, timeout=WAIT_S * 1000)
        return {**vars(case), **summary(page.evaluate("stopCounting()"))}


def summary(counted: dict[str, Any]) -> dict[str, Any]:
    """Frames per second over all and in the worst second; how long one had to wait for the next."""
    times: list[float] = counted["times"]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    seconds: dict[int, int] = {}
    for time in times:
        seconds[int((time - times[0]) // 1000)] = seconds.get(int((time - times[0]) // 1000), 0) + 1
    whole = int((times[-1] - times[0]) // 1000)
    return {
        "seconds": round((times[-1] - times[0]) / 1000, 1),
        "frames_per_s": round(1000 * len(gaps) / (times[-1] - times[0]), 1),
        "frames_in_the_worst_second": min(seconds.get(second, 0) for second in range(whole)),
        "gap_ms_p50": round(percentile(gaps, 50), 1),
        "gap_ms_p99": round(percentile(gaps, 99), 1),
        "gap_ms_max": round(max(gaps), 1),
        "long_frames": len(counted["long"]),
        "blocked_ms": round(sum(each["blockingDuration"] for each in counted["long"])),
    }


def table(rows: list[dict[str, Any]]) -> str:
    columns = ["text", "panes", "frames_per_s", "frames_in_the_worst_second", "gap_ms_p99",
               "gap_ms_max", "long_frames"]  # fmt: skip
    lines = [
        columns,
        ["---"] * len(columns),
        *([str(row[name]) for name in columns] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", default=[case.model for case in CASES])
    parser.add_argument("--output", type=Path, default=RESULTS / f"frames-{machine_name()}.json")
    args = parser.parse_args()
    from tests.browser import chromium

    cases = [case for case in CASES if case.model in args.cases]
    results: dict[str, Any] = {"machine": machine(), "tokens_per_answer": TOKENS, "cases": []}
    with site_of(cases) as (site, session), chromium() as browser:
        results["browser"] = browser.version
        for case in cases:  # of some minutes each: what is measured is kept
            results["cases"].append(measure(browser, site, session, case))
            args.output.write_text(json.dumps(results, indent=2) + "\n")
            print(json.dumps(results["cases"][-1]), flush=True)
    print(table(results["cases"]))


if __name__ == "__main__":
    main()
