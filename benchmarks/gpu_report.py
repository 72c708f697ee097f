"""What `gpu.py` has measured so far, beside its targets: written down after every part.

A part that raises, or for which no time is left, is a line of the result and not the end of it.
"""

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

TARGETS = {  # name -> (at least or at most, bound)
    # Apart from a float32 CPU's; bfloat16 itself is, so as a multiple of transformers' own pass.
    "logits' error over transformers'": ("≤", 1.25),
    "the same of a row alone": ("≤", 1.25),
    "replayed steps apart from launched ones": ("≤", 0.01),
    "tokens the same with and without lookahead": ("≥", 1.0),
    "decode, batch 1, of copy bandwidth": ("≥", 0.85),
    "decode, batch 64, of copy bandwidth": ("≥", 0.70),
    "decode, batch 256, of copy bandwidth": ("≥", 0.70),
    "prefill, of matrix rate": ("≥", 0.55),
    "step gap at batch 64, of a step": ("≤", 0.05),
    "tokens/s over transformers'": ("≥", 1.5),
}


class Report:
    """The parts of one run."""

    def __init__(self, about: dict[str, Any], output: Path | None, limit_s: float) -> None:
        """Say what runs where; begin no part after `limit_s`, and keep all in `output`, if any."""
        self.found: dict[str, Any] = {}
        self.failed: dict[str, str] = {}  # parts -> why
        self._about = about
        self._output = output
        self._limit_s = limit_s
        self._began = time.monotonic()

    @property
    def left_s(self) -> float:
        """Return how much time is left; may be negative."""
        return self._limit_s - (time.monotonic() - self._began)

    def part(self, name: str, run: Callable[[], dict[str, Any]]) -> None:
        """Run a part, and take what it found in."""
        if self.left_s <= 0:
            self.failed[name] = "no time was left"
        else:
            try:
                self.found |= run()
            except Exception as error:
                self.failed[name] = f"{type(error).__name__}: {error}"
                traceback.print_exc()
        print(f"{self._limit_s - self.left_s:5.0f} s  {name}", flush=True)
        self.save()

    def save(self) -> None:
        """Write down what there is."""
        if self._output is not None:
            self._output.write_text(json.dumps(self._whole(), indent=1) + "\n")

    def show(self) -> None:
        """Print the table, and the numbers behind it."""
        whole = self._whole()
        print(json.dumps({key: value for key, value in whole.items() if key != "ratios"}, indent=1))
        print(table(whole["ratios"]))
        print(summary(whole["ratios"]))

    def _whole(self) -> dict[str, Any]:
        return {
            **self._about,
            "ratios": ratios(self.found),
            "found": self.found,
            "failed": self.failed,
            "seconds": round(self._limit_s - self.left_s),
        }


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """Return what the targets are about, as far as it was measured."""
    pairs: list[tuple[str, float | None, float | None]] = [
        (f"decode, batch {batch}, of copy bandwidth", timed["bytes_per_s"], copied)
        for batch in (1, 64, 256)
        if (timed := found.get(f"decode_{batch}")) and (copied := found.get("copy_bytes_per_s"))
    ]
    theirs = found.get("transformers_tokens_per_s")
    pairs += [
        ("prefill, of matrix rate", found.get("prefill_flops"), found.get("matrix_flops")),
        ("step gap at batch 64, of a step", found.get("decode_64", {}).get("gap"), 1.0),
        ("tokens/s over transformers'", found.get("tokens_per_s"), theirs),
    ]
    known = {name: part / whole for name, part, whole in pairs if part is not None and whole}
    return {**found.get("correctness", {}), **known}


def verdict(name: str, value: float | None) -> str:
    """Say whether a ratio meets its target; what was not measured misses it."""
    kind, bound = TARGETS[name]
    if value is None:
        return "missing"
    return "pass" if (value >= bound if kind == "≥" else value <= bound) else "MISS"


def table(measured: dict[str, float]) -> str:
    """Return every target with what was measured, in Markdown."""
    lines = ["| | measured | target | |", "|---|---|---|---|"]
    for name, (kind, bound) in TARGETS.items():
        value = measured.get(name)
        shown = "–" if value is None else f"{value:.3g}"
        lines.append(f"| {name} | {shown} | {kind} {bound:g} | {verdict(name, value)} |")
    return "\n".join(lines)


def summary(measured: dict[str, float]) -> str:
    """Say in words how many targets were met, and which were not."""
    verdicts = {name: verdict(name, measured.get(name)) for name in TARGETS}
    lines = [f"{list(verdicts.values()).count('pass')} of {len(TARGETS)} targets were met."]
    for kind, words in (("MISS", "Missed"), ("missing", "Not measured")):
        names = [name for name, found in verdicts.items() if found == kind]
        if names:
            lines.append(f"{words}: {'; '.join(names)}.")
    return "\n".join(lines)
