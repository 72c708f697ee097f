"""A GPU's kernels are used where Triton can start them; elsewhere the log says what is missing."""

import logging
import sys
from collections.abc import Iterator
from subprocess import CalledProcessError

import pytest
import torch
from triton.runtime import driver

from inference.engine import kernels

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    for asked in (kernels._is_recent, kernels._can_start):
        asked.cache_clear()
    yield
    for asked in (kernels._is_recent, kernels._can_start):
        asked.cache_clear()


def test_they_are_where_triton_has_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_active", object())
    assert kernels.available(GPU)
    assert not kernels.available(torch.device("cpu"))


def test_a_machine_without_a_compiler_runs_without_them_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> object:
        raise CalledProcessError(1, ["gcc", "driver.c"])  # there is no Python.h

    monkeypatch.setattr(driver, "_active", None)
    monkeypatch.setattr(driver, "_default", None)
    monkeypatch.setattr(sys.modules["triton.runtime.driver"], "_create_driver", fails)
    with caplog.at_level(logging.WARNING):
        assert not kernels.available(GPU)
        assert not kernels.available(GPU)
    (record,) = caplog.records
    assert "gcc, python3-dev" in record.getMessage()
    assert "driver.c" in record.getMessage()


def test_a_gpu_older_than_ampere_runs_without_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a Turing (7.5) a tile of prompts would take 96 KiB of 64, and no kernel would start."""
    monkeypatch.setattr(driver, "_active", object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with caplog.at_level(logging.WARNING):
        assert not kernels.available(GPU)
        assert not kernels.available(GPU)
    assert [record.getMessage() for record in caplog.records] == [
        "This GPU is older than the kernels' kind: PyTorch's operators run, slower."
    ]
