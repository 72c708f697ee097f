"""All ways to attend give what plain attention gives, and the kernel is fed what it asks for."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, StableLmConfig

from inference.engine import attention
from inference.engine.attention import PaddedAttention, kernel_context, kernels_work
from inference.engine.batch import Batch, build_batch
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.model import HuggingFaceModel
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan, Row
from inference.engine.spans import deal, spans_of
from tests.inference.engine.plain import plain

CPU = torch.device("cpu")
HEADS, KV_HEADS, DIM = 4, 2, 8


def kernels(cache: KVCache, batch: Batch) -> Any:
    """The GPU's way."""
    dealer = partial(deal, batch.layout.counts, batch.layout.kv_lens, CPU)
    return kernel_context(cache, batch.slots, spans_of(batch.layout, CPU), dealer)


@pytest.mark.parametrize("way", [PaddedAttention, kernels])
@pytest.mark.parametrize("fed", [[1, 17, 6, 1, 1, 33], [1] * 6], ids=["mixed", "decode"])
def test_it_attends_to_each_rows_own_past(way: Any, fed: list[int]) -> None:
    torch.manual_seed(0)
    lengths = [3, 17, 40, 9, 64, 33]
    size, scale = 8, 0.3
    cache = KVCache([LayerShape(KV_HEADS, DIM, DIM)], 64, size, torch.float32, CPU)
    cache.keys[0][1:] = torch.nan  # what an earlier owner left behind
    cache.values[0][1:] = torch.nan
    keys = [torch.randn(length, KV_HEADS, DIM) for length in lengths]
    values = [torch.randn(length, KV_HEADS, DIM) for length in lengths]
    queries = [torch.randn(length, HEADS, DIM) for length in lengths]
    free = iter(torch.randperm(63).add(1).tolist())
    tables = [[next(free) for _ in range(-(-length // size))] for length in lengths]

    def step(starts: list[int], ends: list[int]) -> list[Tensor]:
        params = SamplingParams(max_tokens=1)
        chosen = [n for n in range(len(lengths)) if ends[n] > starts[n]]
        rows = [
            Row(n, [0] * ends[n], 1, starts[n], ends[n] - starts[n], tables[n], params, 0, False)
            for n in chosen
        ]
        batch = build_batch(Plan(1, tuple(rows)), size, CPU)
        context = way(cache, batch)

        def flat(parts: list[Tensor]) -> Tensor:
            return torch.cat([parts[n][starts[n] : ends[n]] for n in chosen])

        context.store(0, flat(keys), flat(values))
        out = context.attend(0, flat(queries), scale)
        return list(out.split([row.num_tokens for row in rows]))

    begun = [length - count for length, count in zip(lengths, fed, strict=True)]
    step([0] * len(lengths), begun)
    for n, out in enumerate(step(begun, lengths)):
        expected = plain(queries[n][begun[n] :], keys[n], values[n], scale)
        assert torch.allclose(out, expected, atol=1e-5), n
    assert not cache.keys[0][0].any()


def test_it_refuses_a_family_that_keeps_the_context_from_its_attention() -> None:
    sizes: Any = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = StableLmConfig(**sizes, num_key_value_heads=2, vocab_size=64, intermediate_size=32)
    with pytest.raises(ValueError, match="do not hand extra arguments"):
        HuggingFaceModel(AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize("name", attention.UNSUPPORTED_ARGUMENTS)
def test_it_refuses_extras_it_does_not_implement(name: str) -> None:
    module = torch.nn.Module()
    tensor = torch.zeros(1, 1, 1, 8)
    with pytest.raises(ValueError, match=name):
        attention.paged_attention(module, tensor, tensor, tensor, None, paged=None, **{name: 1})


def test_the_kernels_are_used_only_where_they_work() -> None:
    shapes = [LayerShape(2, 64, 64)]
    cache = KVCache(shapes, 1, 256, torch.bfloat16, CPU)
    assert not kernels_work(cache, shapes)
