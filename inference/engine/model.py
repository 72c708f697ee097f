"""A causal language model, ready to run flat batches.

Owns the Hugging Face module. `HuggingFaceModel` runs any supported checkpoint through
transformers' own modules; a leaner path for common families can stand beside it by offering the
same `logits` method (`CausalModel`).
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from inference.engine.attention import (
    IMPLEMENTATION,
    PaddedAttention,
    PagedContext,
    RecordingAttention,
    VarlenAttention,
    register,
    varlen_works,
)
from inference.engine.batch import Batch, build_batch
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan, Row
from inference.engine.support import check_supported

# How far the paged and the eager pass may be apart, of the logits' own spread.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 2e-1}


class CausalModel(Protocol):
    """What the runner needs."""

    vocab_size: int

    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        """Run a batch; return the logits (N, V) of the positions it wants."""
        ...


class HuggingFaceModel:
    """A checkpoint run by transformers' modules with our attention."""

    def __init__(self, module: Any) -> None:
        """Wrap a loaded module; learn the shapes of its layers from one small pass."""
        register()
        self._module = module.eval()
        module.set_attn_implementation(IMPLEMENTATION)
        self.config: PretrainedConfig = module.config
        self.num_parameters: int = sum(weight.numel() for weight in module.parameters())
        self.vocab_size: int = module.config.vocab_size
        self.device: torch.device = module.device
        self.dtype: torch.dtype = module.dtype
        settings = getattr(module, "generation_config", None)
        self.generation_eos: int | list[int] | None = getattr(settings, "eos_token_id", None)
        self.shapes = self._record_shapes()

    def _record_shapes(self) -> list[LayerShape]:
        recording = RecordingAttention()
        token_ids = torch.zeros(1, 4, dtype=torch.int64, device=self.device)
        positions = torch.arange(4, device=self.device).unsqueeze(0)
        self._forward(token_ids, positions, torch.zeros_like(positions[0, :1]), recording)
        shapes = recording.shapes
        if sorted(shapes) != list(range(len(shapes))) or not shapes:
            raise ValueError("The model's attention layers are not numbered one after the other.")
        return [shapes[layer] for layer in range(len(shapes))]

    @torch.inference_mode()
    def _forward(
        self, token_ids: Tensor, positions: Tensor, wanted: Tensor, paged: PagedContext
    ) -> Tensor:
        out = self._module(
            input_ids=token_ids,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=wanted,
            paged=paged,
        )
        logits: Tensor = out.logits[0]
        return logits

    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        """Run a batch; return the logits (N, V) of the positions it wants."""
        way = VarlenAttention if varlen_works(cache, self.shapes) else PaddedAttention
        context = way(cache, batch)
        return self._forward(batch.input_ids, batch.position_ids, batch.logit_index, context)

    @torch.inference_mode()
    def verify(self, cache: KVCache) -> None:
        """Raise ValueError unless the paged passes give what the model's own attention gives.

        One prompt in two chunks, beside a second sequence: catches any family whose attention
        needs something ours does not do. Uses the first blocks, before anything is served.
        """
        length, cut = min(24, 2 * cache.block_size), 9
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(0, self.vocab_size, (length,), generator=generator).tolist()
        needed = -(-length // cache.block_size)
        whole = [list(range(1 + i * needed, 1 + (i + 1) * needed)) for i in range(2)]
        first = Plan(0, (_row(1, ids, 0, cut, whole[0]), _row(2, ids[3:], 0, 7, whole[1])))
        second = Plan(0, (_row(1, ids, cut, length - cut, whole[0]),))
        self.logits(build_batch(first, cache.block_size, self.device), cache)
        ours = self.logits(build_batch(second, cache.block_size, self.device), cache)[0]
        self._module.set_attn_implementation("eager")
        theirs = self._module(input_ids=torch.tensor([ids], device=self.device)).logits[0, -1]
        self._module.set_attn_implementation(IMPLEMENTATION)
        apart = (ours.float() - theirs.float()).abs().max()
        if not apart <= TOLERANCE[self.dtype] * (theirs.float().std() + 1e-6):
            raise ValueError(
                f"{self.config.model_type} does not compute the same with the paged cache "
                f"(logits {apart:.3g} apart); it needs attention features we do not support."
            )


def _row(key: int, ids: list[int], start: int, count: int, blocks: list[int]) -> Row:
    params = SamplingParams(max_tokens=1, temperature=0.0)
    samples = start + count == len(ids)
    return Row(key, ids, len(ids), start, count, blocks, params, 0, samples)


def load_model(path: str, device: torch.device, dtype: torch.dtype) -> HuggingFaceModel:
    """Load a checkpoint. ValueError with the reason when it cannot be served."""
    check_supported(AutoConfig.from_pretrained(path))
    module: Any = AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
    return HuggingFaceModel(module.to(device))
