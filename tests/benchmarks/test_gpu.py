"""The GPU benchmark runs, as far as a machine without one can show it, and judges what it finds."""

import gc
import json
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, gpu_report
from benchmarks.gpu_engine import Engine
from benchmarks.gpu_report import Report
from inference.engine.kernels import launch


def run(tmp_path: Path) -> dict[str, Any]:
    output = tmp_path / "gpu.json"
    gpu.main(["--tiny", "--device", "cpu", "--output", str(output)])
    result: dict[str, Any] = json.loads(output.read_text())
    return result


def test_it_runs_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def peer(module: Any, requests: list[list[list[int]]], *_: Any) -> float:
        asked.append(requests)
        held = [one for one in gc.get_objects() if type(one) is Engine]
        assert not held, "it would find its memory taken"
        assert module.config._attn_implementation == "sdpa"
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
    assert "Not measured: decode, batch 64, of copy bandwidth; decode, batch 256" in printed
    assert not result["failed"]


def test_a_peer_that_fails_is_a_missing_line_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peer(*_: Any) -> float:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(gpu, "transformers_own", peer)
    result = run(tmp_path)
    assert result["failed"] == {"transformers": "RuntimeError: no such kernel"}
    assert "tokens/s over transformers'" not in result["ratios"]


def test_a_peer_that_fails_with_most_of_the_memory_is_tried_with_half_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares: list[float | None] = []
    taken: list[weakref.ref[torch.Tensor]] = []

    def peer(module: Any, requests: Any, new_tokens: int, config: Any) -> float:
        shares.append(config and config.max_memory_percent)
        if len(shares) == 1:
            cache = torch.zeros(8)
            taken.append(weakref.ref(cache))
            raise RuntimeError("0 of 3 answers")
        assert taken[0]() is None, "what the first try took is still held"
        return 7.0

    monkeypatch.setattr(gpu, "transformers_own", peer)
    module = gpu.make(gpu.shape(tiny=True), torch.device("cpu"), torch.float32)
    found = gpu.peer(module, [], 4, limit_s=60)
    assert shares == [None, 0.5]
    assert found == {"transformers_tokens_per_s": 7.0, "transformers_memory": 0.5}


def test_a_part_that_fails_does_not_keep_the_others_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, broken = Engine.step, []

    def breaks_once(engine: Engine) -> None:
        step(engine)
        if len(engine.sequences()) == 2 and not broken:
            broken.append(1)
            raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(Engine, "step", breaks_once)
    monkeypatch.setattr(gpu, "correctness", lambda *_: {})
    monkeypatch.setattr(gpu, "transformers_own", lambda *_: 1.0)
    result = run(tmp_path)
    assert result["failed"] == {"decode 2": "OutOfMemoryError: no room"}
    assert {"decode_1", "prefill_flops", "tokens_per_s"} <= set(result["found"])


def test_what_was_found_is_kept_whatever_comes_after_it(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    report = Report({"device": "a card"}, output, limit_s=60)
    report.part("ceilings", lambda: {"matrix_flops": 8.0})
    report.part("prefill", lambda: {"prefill_flops": 6.0})
    report._limit_s = 0
    report.part("transformers", lambda: pytest.fail("it was begun"))
    kept = json.loads(output.read_text())
    assert kept["device"] == "a card"
    assert kept["ratios"] == {"prefill, of matrix rate": 0.75}
    assert kept["failed"] == {"transformers": "no time was left"}


def test_a_peer_that_never_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    module = gpu.make(gpu.shape(tiny=True), torch.device("cpu"), torch.float32)
    done = threading.Event()
    monkeypatch.setattr(gpu, "transformers_own", lambda *_: done.wait())
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        gpu.peer(module, [], 4, limit_s=0.01)
    done.set()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--device", "cpu"], "takes --tiny only"),
        (["--device", "gpu"], "there is no such device"),
        (["--device", "cuda:99"], "there is no such GPU"),
        (["--tiny", "--device", "cpu", "--limit", "0"], "--limit must be more than 0"),
        (["--tiny", "--device", "cpu", "--output", "/nowhere/a.json"], "no folder /nowhere"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        gpu.main(arguments)
    assert complaint in capsys.readouterr().err


def test_the_same_requests_take_the_same_steps_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or another product's kernel, with other last bits, could pass for a fault of lookahead."""
    module = gpu.make(gpu.shape(tiny=True), torch.device("cpu"), torch.float32)
    engine = Engine(module, max_running=2, max_model_len=64, budget=64)
    sizes: list[list[int]] = []
    logits = engine._model.logits

    def noted(batch: Any, cache: Any) -> torch.Tensor:
        sizes[-1].append(batch.input_ids.shape[1])
        return logits(batch, cache)

    monkeypatch.setattr(engine._model, "logits", noted)
    requests = gpu.prompts(2, 40, 512, seed=1)
    for ahead in (False, True):
        sizes.append([])
        engine.generate(requests, 4, ahead=ahead)
    assert sizes[0][:2] == [64, 17]
    assert sizes[1][: len(sizes[0])] == sizes[0]


def test_kernels_can_be_started_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "can_start_early", lambda device: True)
    assert launch.early(torch.device("cpu"))["EARLY"]
    gpu.start_late()
    assert launch.early(torch.device("cpu")) == {"EARLY": False}


def test_it_judges_by_the_direction_of_each_target() -> None:
    assert gpu_report.verdict("prefill, of matrix rate", 0.56) == "pass"
    assert gpu_report.verdict("prefill, of matrix rate", 0.54) == "MISS"
    assert gpu_report.verdict("step gap at batch 64, of a step", 0.04) == "pass"
    assert gpu_report.verdict("step gap at batch 64, of a step", 0.06) == "MISS"
    assert gpu_report.verdict("logits' error over transformers'", float("nan")) == "MISS"
    assert gpu_report.verdict("prefill, of matrix rate", None) == "missing"


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
