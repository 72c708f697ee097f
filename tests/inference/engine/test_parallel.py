"""Two ranks over gloo say what one process says, and neither lives without the other.

More of how they end is in `tests/conformance/test_ranks.py`.
"""

import asyncio
import pickle
from collections.abc import AsyncIterator
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import GPT2Config, LlamaConfig

from inference.engine.__main__ import build_parser, build_served
from inference.engine.model import HuggingFaceModel
from inference.engine.parallel import ParallelModel, check_divides
from tests.inference.engine.checkpoint import write_checkpoint
from tests.inference.engine.client import connect, open_stream, stats
from tests.inference.engine.ranks import OPTIONS, children, ends_when_killed, two_ranks
from tests.inference.engine.rig import Outcome
from tests.inference.engine.test_process import engine
from tests.inference.engine.tiny import random_module

BEGINNING = [7 * n % 250 for n in range(40)]
PROMPTS = [[3], list(range(90)), *([*BEGINNING, n, 2 * n] for n in range(5))]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return folder


async def answers(socket: Path) -> list[Outcome]:
    """The first prompts together, then the rest, which find a beginning in the cache."""
    async with connect(f"unix:{socket}") as stub, open_stream(stub) as stream:
        found = []
        for group in (PROMPTS[:3], PROMPTS[3:]):
            found += [await stream.submit(prompt, max_tokens=20) for prompt in group]
            await stream.finish()
        assert (await stats(stub)).kv_blocks_used == 0
        return found


@pytest.fixture
async def pair(checkpoint: Path, tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    async with two_ranks(checkpoint, tmp_path / "e") as process:
        yield process


@pytest.mark.slow
async def test_two_ranks_give_the_tokens_of_one_until_one_of_them_is_killed(
    pair: asyncio.subprocess.Process, checkpoint: Path, tmp_path: Path
) -> None:
    divided = await answers(tmp_path / "e")
    async with engine(tmp_path / "one", "--path", str(checkpoint), *OPTIONS):
        whole = await answers(tmp_path / "one")
    assert [outcome.token_ids for outcome in divided] == [outcome.token_ids for outcome in whole]
    assert all(len(outcome.token_ids) == 20 or outcome.finish for outcome in divided)
    assert sum((outcome.cached_tokens or 0) > 0 for outcome in divided) == len(PROMPTS[3:])
    [rank] = children(pair.pid)
    await ends_when_killed(pair, rank)


def test_every_rank_makes_its_part_of_the_cache_in_the_dtype_of_the_first() -> None:
    near, far = Pipe()
    first = ParallelModel(random_module("llama"), [near])
    rank = SimpleNamespace(cache=None, model=HuggingFaceModel(random_module("llama")))
    cache = first.new_cache(2, 16, torch.bfloat16)
    pickle.loads(far.recv_bytes()).run(rank)
    assert rank.cache.dtype is cache.dtype is torch.bfloat16


def test_what_it_cannot_be_combined_with_is_refused(checkpoint: Path) -> None:
    line = ["--path", str(checkpoint), "--tensor-parallel", "2", "--quantize", "int8"]
    with pytest.raises(ValueError, match="cannot be combined"):
        build_served(build_parser().parse_args(line))


def test_heads_that_cannot_be_divided_are_refused() -> None:
    llama = {"num_attention_heads": 6, "num_key_value_heads": 3, "hidden_size": 48}
    check_divides(LlamaConfig(**llama), 3)
    with pytest.raises(ValueError, match="3 key-value heads, which 2 ranks"):
        check_divides(LlamaConfig(**llama), 2)
    with pytest.raises(ValueError, match="6 attention heads, which 4 ranks"):
        check_divides(LlamaConfig(**llama), 4)
    with pytest.raises(ValueError, match="no tensor-parallel plan for gpt2"):
        check_divides(GPT2Config(), 2)
