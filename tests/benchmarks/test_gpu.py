"""The GPU benchmark runs, as far as a machine without one can show it, and judges what it finds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_engine import Engine


def run(tmp_path: Path) -> dict[str, Any]:
    output = tmp_path / "gpu.json"
    gpu.main(["--tiny", "--device", "cpu", "--output", str(output)])
    result: dict[str, Any] = json.loads(output.read_text())
    return result


def test_it_runs_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def peer(module: Any, requests: list[list[list[int]]], new_tokens: int) -> float:
        asked.append(requests)
        return 1e-3

    monkeypatch.setattr(gpu, "transformers_own", peer)
    result = run(tmp_path)
    ratios = result["ratios"]
    for name in ("logits' error over transformers'", "the same of a row alone"):
        assert ratios[name] < 10, "of an error of 1e-5, which float32 stays below"
    assert ratios["tokens the same with and without lookahead"] == 1
    assert ratios["tokens/s over transformers'"] > 1.5
    assert result["found"]["decode_1"]["tokens_per_s"] > 0
    assert asked[0][0] != asked[0][1], "its prefix cache would answer the second batch"
    printed = capsys.readouterr().out
    assert "| logits' error over transformers' |" in printed
    assert "| decode, batch 256, of copy bandwidth | – | ≥ 0.7 | missing |" in printed


def test_a_peer_that_fails_is_a_missing_line_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peer(*_: Any) -> float:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(gpu, "transformers_own", peer)
    result = run(tmp_path)
    assert result["found"]["transformers_failed"] == "RuntimeError: no such kernel"
    assert "tokens/s over transformers'" not in result["ratios"]


def test_it_judges_by_the_direction_of_each_target() -> None:
    assert gpu.verdict("prefill, of matrix rate", 0.56) == "pass"
    assert gpu.verdict("prefill, of matrix rate", 0.54) == "MISS"
    assert gpu.verdict("step gap at batch 64, of a step", 0.04) == "pass"
    assert gpu.verdict("step gap at batch 64, of a step", 0.06) == "MISS"
    assert gpu.verdict("logits' error over transformers'", float("nan")) == "MISS"
    assert gpu.verdict("prefill, of matrix rate", None) == "missing"


def test_it_counts_what_a_step_reads_and_a_prompt_computes() -> None:
    config = gpu.shape(tiny=True)
    module = gpu.make(config, torch.device("cpu"), torch.float32)
    engine = Engine(module, max_running=2, max_model_len=64, budget=64)
    sizes = {name: weight.numel() for name, weight in module.named_parameters()}
    table = sizes.pop("model.embed_tokens.weight")
    assert engine.weight_bytes == 4 * sum(sizes.values())
    assert engine.kv_bytes == 2 * 2 * 2 * 16 * 4  # layers, keys and values, heads, dim, float32
    head = sizes.pop("lm_head.weight")
    assert head == table
    products = 2 * (10 * sum(sizes.values()) + head)
    scores_and_sums = 2 * 2 * 4 * 16 * (10 * 11 // 2) * 2
    assert engine.prompt_operations(10) == products + scores_and_sums


def test_the_eight_billion_are_eight_billion() -> None:
    config = gpu.shape(tiny=False)
    with torch.device("meta"):
        module = gpu.AutoModelForCausalLM.from_config(config)
    assert 8.0e9 < sum(weight.numel() for weight in module.parameters()) < 8.1e9


def test_it_needs_no_library_of_the_service() -> None:
    """Seen in a process of its own, where nothing else has loaded them."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('llguidance', 'google.protobuf')));"
        "import benchmarks.gpu"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=120)
