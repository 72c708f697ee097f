"""Settings of the engine's tests."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference.engine.fake_codec import FakeCodec
from inference.engine.grammar import Grammars, read_vocabulary
from inference.engine.grammar_compiler import GrammarCompiler


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny tensors are slower on several threads, and the machine has other work."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture
def socket(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/engine"


@pytest.fixture
async def compiler() -> AsyncIterator[GrammarCompiler]:
    codec = FakeCodec()
    made = GrammarCompiler(Grammars(read_vocabulary(codec, codec.vocab_size)))
    yield made
    made.stop()
