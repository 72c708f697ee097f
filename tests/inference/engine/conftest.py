"""Settings of the engine's tests."""

import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny tensors are slower on several threads, and the machine has other work."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture
def socket(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/engine"
