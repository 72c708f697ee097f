"""The language model evaluation harness over `/v1/completions`, and in this process: both results.

Its tasks are made here, since none can be downloaded: choices scored by their log-probability,
texts by the perplexity of each, and beginnings that are continued greedily.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OPENAI_API_KEY"] = os.environ["KEY"]  # where the harness looks for it

import lm_eval

ADDRESS, STARTER = os.environ["ADDRESS"], os.environ["STARTER"]
CHOICES = (
    ("Once upon a time, in a small house by the", [" sea", " purple", " one hundred"]),
    ("The little mouse was hungry, so she looked for something to", [" eat", " two", " red."]),
    ("Two plus two is", [" four", " a lighthouse", " the old man and his dog"]),
    ("从前，", ["有一只小老鼠", "价格是多少"]),
    ("A list of colours: red, green,", [" blue", "\n\nHe"]),
)
TEXTS = (
    "Once upon a time there lived a little prince. He wished to be tall.",
    "An API key is shown once. Keep it where nobody else can read it.",
    "从前有一只小老鼠，她住在海边。",
)
BEGINNINGS = ("Once upon a time", "In a valley full of apple trees", "One day, a mouse")


def main() -> None:
    completions = f"base_url={ADDRESS}/v1/completions,max_length=2048,num_concurrent=4"
    with tempfile.TemporaryDirectory() as folder:
        made = tasks(Path(folder))
        results = {
            "in this process": evaluate(made, "hf", f"pretrained={STARTER},dtype=float32"),
            "served": evaluate(
                made, "local-completions", f"model=starter,tokenizer={STARTER},{completions}"
            ),
            "served, tokenizer and all": evaluate(
                made, "local-completions", f"model=starter,tokenizer_backend=remote,{completions},"
                f"auth_token={os.environ['KEY']}",
            ),
        }  # fmt: skip
    print(json.dumps(results))


def tasks(folder: Path) -> list[dict[str, Any]]:
    """Configurations as the harness's YAML files have them."""
    choices = [{"context": context, "choices": ends} for context, ends in CHOICES]
    common = {"test_split": "test", "dataset_path": "json", "num_fewshot": 0}
    return [
        common | {
            "task": "choices",
            "dataset_kwargs": data(folder / "choices.jsonl", choices),
            "output_type": "multiple_choice",
            "doc_to_text": "{{context}}",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": 0,
            "target_delimiter": "",
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        },
        common | {
            "task": "texts",
            "dataset_kwargs": data(folder / "texts.jsonl", [{"text": text} for text in TEXTS]),
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
        },
        common | {
            "task": "beginnings",
            "dataset_kwargs": data(folder / "begin.jsonl", [{"text": it} for it in BEGINNINGS]),
            "output_type": "generate_until",
            "doc_to_text": "{{text}}",
            "doc_to_target": "",
            "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 40, "do_sample": False},
            "metric_list": [{"metric": "exact_match"}],
        },
    ]  # fmt: skip


def data(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"data_files": {"test": str(path)}}


def evaluate(made: list[dict[str, Any]], model: str, arguments: str) -> dict[str, Any]:
    """Each task's metrics, and what the model answered to each request."""
    done = lm_eval.simple_evaluate(
        model=model, model_args=arguments, tasks=[dict(task) for task in made],
        device="cpu", log_samples=True, bootstrap_iters=0,
    )  # fmt: skip
    assert done is not None
    return {
        task: {
            "metrics": {
                name: value
                for name, value in done["results"][task].items()
                if isinstance(value, float) and "stderr" not in name
            },
            "answers": [sample["filtered_resps"] for sample in samples],
        }
        for task, samples in done["samples"].items()
    }


if __name__ == "__main__":
    main()
