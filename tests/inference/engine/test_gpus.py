"""Engines of one machine take its GPUs in turn, and each sees its own alone."""

import logging
import os
from pathlib import Path

import pytest
import torch

from inference.engine import memory
from inference.engine.__main__ import build_parser, build_served
from inference.engine.gpus import VISIBLE, take_gpus
from tests.inference.engine.checkpoint import write_checkpoint


def have(monkeypatch: pytest.MonkeyPatch, count: int, visible: str | None = None) -> None:
    """Have a machine with so many GPUs, of which torch, as it is, reads what may be seen."""
    monkeypatch.setattr(torch.cuda, "_is_compiled", lambda: True)
    monkeypatch.setattr(torch.cuda, "_raw_device_count_nvml", lambda: count)
    monkeypatch.setenv(VISIBLE, "")  # so that it is put back
    monkeypatch.delenv(VISIBLE)
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)


@pytest.mark.parametrize(
    ("number", "engines", "parts", "seen", "sharing"),
    [
        (1, 1, 1, "0", 1),
        (4, 4, 1, "3", 1),
        (5, 6, 1, "0", 2),  # 1 and 5
        (3, 6, 1, "2", 1),
        (2, 2, 2, "2,3", 1),
        (3, 3, 2, "0,1", 2),
        (2, 2, 3, None, 2),  # only one of three GPUs fits in
        (2, 2, 4, None, 2),
        (1, 1, 8, None, 1),  # refused later, with a sentence
        (7, 2, 1, "2", 1),  # those before it are on their way out
    ],
)
def test_of_four_gpus_they_take_their_own(
    monkeypatch: pytest.MonkeyPatch,
    number: int, engines: int, parts: int, seen: str | None, sharing: int,
) -> None:  # fmt: skip
    have(monkeypatch, 4)
    assert take_gpus(number, engines, parts) == sharing
    assert os.environ.get(VISIBLE) == seen
    assert torch.cuda.device_count() == (parts if seen is not None else 4)


def test_they_keep_to_those_that_they_may_see(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, 8, "6, 2,5")
    assert take_gpus(2, 3, 1) == 1
    assert os.environ[VISIBLE].strip() == "2"


@pytest.mark.parametrize("count", [0, 1])
def test_one_gpu_is_everybodys(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    have(monkeypatch, count)
    assert take_gpus(2, 3, 1) == 3
    assert VISIBLE not in os.environ


def test_where_cuda_had_to_be_asked_first_they_share_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    have(monkeypatch, -1)  # NVML does not answer
    monkeypatch.setattr(torch._C, "_cuda_getDeviceCount", lambda: 4, raising=False)
    with caplog.at_level(logging.WARNING):
        assert take_gpus(2, 3, 1) == 3
    assert "all engines take the first of 4 GPUs" in caplog.text


def test_an_engine_takes_its_own_before_it_looks_for_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path)
    have(monkeypatch, 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    seen: list[str | None] = []

    def told(device: torch.device) -> tuple[int, int]:
        seen.append(os.environ.get(VISIBLE))
        raise ValueError("enough")

    monkeypatch.setattr(torch.cuda, "mem_get_info", told)
    monkeypatch.setattr(memory, "free_memory", lambda: 1 << 60)
    options = ["--path", str(tmp_path), "--memory-shares", "6", "--engine-number", "6"]
    args = build_parser().parse_args(options)
    with pytest.raises(ValueError, match="enough"):
        build_served(args)
    assert seen == ["1"]
    assert args.memory_shares == 2
    cpu = build_parser().parse_args([*options, "--device", "cpu", "--max-model-len", "999999"])
    with pytest.raises(ValueError, match="at most"):
        build_served(cpu)
    assert cpu.memory_shares == 6
