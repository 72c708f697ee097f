"""An engine takes its share of the memory, and says when a model does not fit."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from inference.engine import build, memory
from inference.engine.__main__ import build_parser
from inference.engine.memory import cache_room, check_weights_fit, free_memory, num_weights_in
from tests.inference.engine.checkpoint import write_checkpoint
from tests.inference.engine.tiny import random_module

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)


def test_engines_of_a_machine_divide_the_fraction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    assert cache_room(CPU, None, 1) == 250
    assert cache_room(CPU, 0.8, 4) == 200


def test_on_a_gpu_the_weights_are_part_of_it_and_others_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (600, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 100)
    assert cache_room(CUDA, 0.5, 1) == 400
    assert cache_room(CUDA, 0.8, 4) == 100
    assert cache_room(CUDA, None, 1) == 570  # another engine took more than its share
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (950, 1000))
    assert cache_room(CUDA, None, 1) == 750


def test_weights_are_counted_without_reading_them(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert num_weights_in(tmp_path) > config["vocab_size"] * config["hidden_size"]
    random_module("llama").save_pretrained(tmp_path / "tied")
    weights = random_module("llama").num_parameters()
    assert num_weights_in(tmp_path / "tied") == weights


def test_weights_that_a_folder_has_twice_are_counted_once(tmp_path: Path) -> None:
    model = random_module("llama")
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    parts = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(parts) > 1
    for part in parts:
        shutil.copy(part, tmp_path / f"consolidated{part.name}")
    assert num_weights_in(tmp_path) == model.num_parameters()
    parts[1].unlink()
    with pytest.raises(ValueError, match=rf"{parts[1].name} is missing, a part of the weights"):
        num_weights_in(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_do_not_fit_are_refused_before_they_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    write_checkpoint(tmp_path)
    needed = num_weights_in(tmp_path) * dtype.itemsize
    monkeypatch.setattr(memory, "free_memory", lambda: needed)
    check_weights_fit(str(tmp_path), CPU, dtype)
    monkeypatch.setattr(memory, "free_memory", lambda: needed - 1)
    with pytest.raises(ValueError, match="memory of this machine is free"):
        check_weights_fit(str(tmp_path), CPU, dtype)
    monkeypatch.setattr(memory, "free_memory", lambda: needed)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (needed - 1, needed))
    with pytest.raises(ValueError, match="memory of the GPU is free"):
        check_weights_fit(str(tmp_path), CUDA, dtype)
    monkeypatch.setattr(memory, "free_memory", lambda: needed - 1)  # which they go through
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (needed, needed))
    with pytest.raises(ValueError, match="memory of this machine is free"):
        check_weights_fit(str(tmp_path), CUDA, dtype)


def test_a_model_too_large_for_one_gpu_may_be_divided_or_rounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path)
    needed = num_weights_in(tmp_path) * 2
    monkeypatch.setattr(memory, "free_memory", lambda: needed)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (needed // 2, needed))
    with pytest.raises(ValueError, match=r"The weights take .* as bfloat16, .* of the GPU"):
        check_weights_fit(str(tmp_path), CUDA, torch.bfloat16)
    check_weights_fit(str(tmp_path), CUDA, torch.bfloat16, parts=2)
    check_weights_fit(str(tmp_path), CUDA, torch.bfloat16, int8=True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (needed // 2 - 1, needed))
    with pytest.raises(ValueError, match=r"Each GPU's part of the weights takes .* as bfloat16"):
        check_weights_fit(str(tmp_path), CUDA, torch.bfloat16, parts=2)
    with pytest.raises(ValueError, match=r"The weights take .* as int8, .* of the GPU"):
        check_weights_fit(str(tmp_path), CUDA, torch.bfloat16, int8=True)
    monkeypatch.setattr(memory, "free_memory", lambda: needed - 1)  # ranks on CPUs share it
    with pytest.raises(ValueError, match="of this machine"):
        check_weights_fit(str(tmp_path), CPU, torch.bfloat16, parts=2)


def test_what_the_command_line_divides_and_rounds_is_asked_for_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path)
    asked: list[dict[str, object]] = []

    def noted(*_: object, **how: object) -> None:
        asked.append(how)
        raise ValueError("enough")

    monkeypatch.setattr(build, "check_weights_fit", noted)
    for options in (["--tensor-parallel", "2"], ["--quantize", "int8"], []):
        args = build_parser().parse_args(["--path", str(tmp_path), "--listen", "x:1", *options])
        with pytest.raises(ValueError, match="enough"):
            build.build_real(args)
    assert asked == [
        {"parts": 2, "int8": False}, {"parts": 1, "int8": True}, {"parts": 1, "int8": False},
    ]  # fmt: skip


@pytest.mark.parametrize("left", [0, 3, 8, 200, -1])
def test_weights_that_are_not_whole_are_refused_by_their_file(tmp_path: Path, left: int) -> None:
    write_checkpoint(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a whole file of weights"):
        check_weights_fit(str(tmp_path), CPU, torch.float32)


def test_so_is_what_stands_for_weights_until_git_fetches_them(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4265312\n"
    (tmp_path / "model.safetensors").write_text(pointer)
    with pytest.raises(ValueError, match="not a whole file of weights"):
        check_weights_fit(str(tmp_path), CPU, torch.float32)


def test_a_model_of_the_hub_is_not_looked_up(tmp_path: Path) -> None:
    check_weights_fit("some/model", CPU, torch.float32)


def test_some_of_the_memory_of_this_machine_is_free() -> None:
    assert 1 << 20 < free_memory() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
