"""A causal language model, ready to run flat batches.

Owns the Hugging Face module. `HuggingFaceModel` runs any supported checkpoint through
transformers' own modules; `lean.py` has a faster form of common families.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PretrainedConfig

from inference.engine.attention import (
    IMPLEMENTATION,
    PagedContext,
    RecordingAttention,
    paged_context,
    register,
)
from inference.engine.batch import Batch, build_batch
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan, Row
from inference.engine.quantised import is_rounded, num_weights, quantise
from inference.engine.support import check_complete, load_weights, longest_text

# How far the paged and the eager pass may be apart: the spread of the difference by the spread of
# the logits. (The largest difference grows with the vocabulary: two right passes through 32 layers
# of random bfloat16 weights differed by a third of the spread in the worst of 128,256 tokens.)
TOLERANCE = {torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1.5e-1}
# Where keys and values alone are bfloat16: right lean forms were up to 2.5e-2 apart (32 layers of
# wide random weights). It hides small faults, which a cache that rounds nothing has to show first.
ROUNDED_TOLERANCE = 5e-2
PROOF_TOKENS = 24  # of a sequence that `distance` runs beside another one


class CausalModel(Protocol):
    """What the runner needs."""

    vocab_size: int

    def logits(self, batch: Batch, cache: KVCache) -> Tensor:
        """Run a batch; return the logits (N, V) of the positions it wants."""
        ...


class HuggingFaceModel:
    """A checkpoint run by transformers' modules with our attention."""

    num_ranks = 1  # processes that hold a part of it

    def __init__(self, module: Any) -> None:
        """Wrap a loaded module; learn the shapes of its layers from one small pass."""
        register()
        self.module = module.eval()
        module.set_attn_implementation(IMPLEMENTATION)
        self.config: PretrainedConfig = module.config
        self.num_parameters = num_weights(module)
        self.vocab_size: int = module.config.vocab_size
        self.device: torch.device = module.device
        self.dtype: torch.dtype = module.dtype
        self.quantised = any(map(is_rounded, module.modules()))
        settings = getattr(module, "generation_config", None)
        self.generation_eos: int | list[int] | None = getattr(settings, "eos_token_id", None)
        self.shapes = self._record_shapes()

    def _record_shapes(self) -> list[LayerShape]:
        recording = RecordingAttention(longest_text(self.config))
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
        out = self.module(
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
        context = paged_context(cache, batch, self.shapes)
        return self._forward(batch.input_ids, batch.position_ids, batch.logit_index, context)

    def new_cache(self, num_blocks: int, block_size: int, dtype: torch.dtype) -> KVCache:
        """Allocate what this model's keys and values go into."""
        return KVCache(self.shapes, num_blocks, block_size, dtype, self.device)

    @torch.inference_mode()
    def eager(self, ids: list[int]) -> Tensor:
        """Return the last logits (V,) of ids (T,) by the model's own attention."""
        self.module.set_attn_implementation("eager")
        token_ids = torch.tensor([ids], device=self.device)
        logits: Tensor = self.module(input_ids=token_ids).logits[0, -1]
        self.module.set_attn_implementation(IMPLEMENTATION)
        return logits

    def exact_cache(self, block_size: int) -> KVCache:
        """Allocate a cache for a proof: a few blocks, in the model's own dtype."""
        return self.new_cache(proof_blocks(block_size), block_size, self.dtype)

    def verify(self, block_size: int) -> None:
        """Raise ValueError unless the paged passes give what the model's own attention gives.

        In a cache of its own. Other ranks hold one at a time: the one that serves is made later.
        """
        reason = self.disagreement(self, self.exact_cache(block_size))
        if reason:
            raise ValueError(f"{self.config.model_type} cannot be served: {reason}.")

    def disagreement(self, model: CausalModel, cache: KVCache) -> str:
        """Return how a form of this model differs from its eager one; "" when it does not."""
        apart = self.distance(model, cache)
        # Products of rounded weights are bfloat16's, whatever the activations are.
        tolerance = TOLERANCE[torch.bfloat16 if self.quantised else self.dtype]
        if cache.dtype is torch.bfloat16:
            tolerance = max(tolerance, ROUNDED_TOLERANCE)
        if apart <= tolerance:
            return ""
        return f"its logits with the paged cache are {apart:.2g} of their spread apart from its own"

    @torch.inference_mode()
    def distance(self, model: CausalModel, cache: KVCache) -> float:
        """Return how far a form's logits are from the eager ones, as a part of their spread.

        One prompt in two chunks and a single token, beside a second sequence and then again alone:
        catches whatever needs something we do not do. Uses the first blocks, before anything is
        served.
        """
        length, cut = PROOF_TOKENS, 9
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(0, self.vocab_size, (length,), generator=generator).tolist()
        needed = proof_blocks(cache.block_size) // 2
        whole = [list(range(1 + i * needed, 1 + (i + 1) * needed)) for i in range(2)]
        other = ids[3:11]
        plans = (
            Plan(0, (_row(1, ids, 0, cut, whole[0]), _row(2, other, 0, 7, whole[1]))),
            Plan(0, (_row(1, ids, cut, length - cut - 1, whole[0]),)),
            Plan(0, (_row(2, other, 7, 1, whole[1]), _row(1, ids, length - 1, 1, whole[0]))),
            Plan(0, (_row(1, ids, length - 1, 1, whole[0]),)),
        )
        ours = []
        for plan in plans:
            logits = model.logits(build_batch(plan, cache.block_size, self.device), cache)
            # A copy: a form may write its next logits to the same place.
            ours.append(logits[-1:].to(torch.float32, copy=True))
        theirs = self.eager(ids).float()
        return ((torch.cat(ours[-2:]) - theirs).std(-1) / theirs.std()).max().item()


def _row(key: int, ids: list[int], start: int, count: int, blocks: list[int]) -> Row:
    params = SamplingParams(max_tokens=1, temperature=0.0)
    samples = start + count == len(ids)
    return Row(key, ids, len(ids), start, count, blocks, params, 0, samples)


def proof_blocks(block_size: int) -> int:
    """Return how many blocks two sequences of a proof take."""
    return 2 * -(-PROOF_TOKENS // block_size)


def load_model(
    path: str, device: torch.device, dtype: torch.dtype, *, int8: bool = False
) -> HuggingFaceModel:
    """Load a checkpoint, with its weights rounded to `int8` if asked for.

    ValueError with the reason when it cannot be served.
    """
    module, missing = load_weights(path, dtype=dtype)
    check_complete(missing)
    if int8:
        quantise(module)  # before the move: the device never holds the floats
    return HuggingFaceModel(module.to(device))
