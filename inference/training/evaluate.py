"""Does the model meet its bars? Held-out perplexity, held-out prompts, and the story, as one table.

Prompts are answered greedily; stories are sampled at temperature 0.7 with several seeds, as a chat
and as a plain completion.
"""

import json
import math
import platform
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from tqdm import tqdm

from inference.training.cleaning import clean, distinct_ngrams
from inference.training.corpus.mixture import split
from inference.training.corpus.stories_robot import CANONICAL_PROMPT
from inference.training.documents import Document
from inference.training.generation import Answer, ExportedModel
from inference.training.probes import probes
from inference.training.tokenizer import encode_document

BATCH = 16
HELD_OUT_SEED = 99
STORY_TOKENS = 500
STORY_WORDS = 120
STORY_DISTINCT = 0.9


@dataclass(frozen=True)
class Result:
    """One line of the table. `at_most`: the bar is an upper one."""

    name: str
    value: float
    bar: float
    at_most: bool = False

    @property
    def passed(self) -> bool:
        return self.value <= self.bar if self.at_most else self.value >= self.bar


@dataclass(frozen=True)
class Effort:
    """How much is asked: the full evaluation, or a short one for a quick look."""

    prompts_per_probe: int = 40
    stories: int = 24
    documents: int = 400


PERPLEXITY_BARS = {"en": 1.8, "zh": 1.8, "all": 1.8}
STOP_BAR = 0.95
STORY_BARS = {"chat": 0.9, "completion": 0.9}


def evaluate(folder: Path, effort: Effort = Effort()) -> tuple[list[Result], dict[str, float]]:
    """(results with bars, further numbers without)."""
    model = ExportedModel(folder)
    by_kind = perplexities(model, held_out_documents(effort.documents))
    results = [
        Result(f"perplexity, {group}", by_kind[group], bar, at_most=True)
        for group, bar in PERPLEXITY_BARS.items()
    ]
    stopped: list[bool] = []
    for probe in tqdm(probes(effort.prompts_per_probe), desc="probes", unit="probe"):
        answers: list[Answer] = []
        prompts = [model.chat_prompt(("user", prompt.question)) for prompt in probe.prompts]
        for start in range(0, len(prompts), BATCH):
            answers += model.answer(prompts[start : start + BATCH], probe.max_tokens)
        right = [
            prompt.check(answer.text) for prompt, answer in zip(probe.prompts, answers, strict=True)
        ]
        results.append(Result(probe.name, sum(right) / len(right), probe.bar))
        stopped += [answer.stopped for answer in answers]
    results.append(Result("stops by itself", sum(stopped) / len(stopped), STOP_BAR))
    for form, bar in STORY_BARS.items():
        good = [is_good_story(answer) for answer in stories(model, form, effort.stories)]
        results.append(Result(f"a good story, {form}", sum(good) / len(good), bar))
    return results, by_kind


def held_out_documents(count: int) -> list[Document]:
    wanted = split(HELD_OUT_SEED, count, held_out=True)
    return list(clean(tqdm(wanted, total=count, desc="held-out documents", unit="doc")))


def perplexities(model: ExportedModel, documents: list[Document]) -> dict[str, float]:
    """Per token that the model answers for: of each kind, of each language, and of all."""
    losses: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for document in tqdm(documents, desc="perplexity", unit="doc"):
        loss, count = _loss(model, document)
        for group in ("all", document.language, f"kind:{document.kind}"):
            losses[group] += loss
            counts[group] += count
    return {group: math.exp(losses[group] / counts[group]) for group in sorted(losses)}


def _loss(model: ExportedModel, document: Document) -> tuple[float, int]:
    ids, answered = encode_document(model.tokenizer.backend_tokenizer, document)
    tokens = torch.tensor([ids])  # [1, length]
    with torch.no_grad():
        logits = model.model(input_ids=tokens).logits[0, :-1]
    counted = torch.tensor(answered[1:])
    losses = torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="none")
    return float(losses[counted].sum()), int(counted.sum())


def stories(model: ExportedModel, form: str, count: int) -> Iterator[Answer]:
    """Stories to the one prompt that everybody tries first."""
    prompt = (
        CANONICAL_PROMPT if form == "completion" else model.chat_prompt(("user", CANONICAL_PROMPT))
    )
    yield from model.answer([prompt] * count, STORY_TOKENS, temperature=0.7, seed=1)


def is_good_story(answer: Answer) -> bool:
    """Long enough, not repeating itself, and ended."""
    words = len(answer.text.split())
    return (
        answer.stopped and words >= STORY_WORDS and distinct_ngrams(answer.text) >= STORY_DISTINCT
    )


def table(results: list[Result]) -> str:
    lines = [f"{'':32}{'measured':>10}{'bar':>10}"]
    for result in results:
        sign = "≤" if result.at_most else "≥"
        verdict = "pass" if result.passed else "FAIL"
        lines.append(
            f"{result.name:32}{result.value:>10.3f}{sign + f'{result.bar:.2f}':>10}  {verdict}"
        )
    return "\n".join(lines)


def report(folder: Path, output: Path | None, effort: Effort = Effort()) -> bool:
    """Evaluates, prints the table, writes the JSON file; whether every bar was met."""
    results, by_kind = evaluate(folder, effort)
    sys.stdout.write(table(results) + "\n")
    if output is not None:
        record = {
            "model": "starter",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "effort": asdict(effort),
            "results": [{**asdict(result), "passed": result.passed} for result in results],
            "perplexity": by_kind,
        }
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return all(result.passed for result in results)


def machine() -> dict[str, str | int]:
    """What it ran on. Linux names the processor in /proc/cpuinfo; else the platform has to do."""
    info = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (info.read_text(encoding="utf-8").splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": len(names) or 1,
        "torch": torch.__version__,
    }
