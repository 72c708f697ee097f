"""Whether a token's logits depend on what runs beside it: found out where the model will serve.

A seed gives the same text every time only if logits have the same bits in any company. The C
decoder adds every sum up in one order (`native/`). PyTorch's products and attention choose the
order by the shape of a step; that they agree in a trial shows nothing about the next shape. So the
promise is made for the C decoder alone, and only after this trial of what the machine's compiler
made of it.
"""

import hashlib
import logging

import torch
from torch import Tensor

from inference.engine.batch import build_batch
from inference.engine.kv_cache import KVCache
from inference.engine.model import PROOF_TOKENS, CausalModel, proof_blocks
from inference.engine.native.compiler import library_name
from inference.engine.native.decoder import NativeDecoder
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan, Row

logger = logging.getLogger(__name__)

# How often another sequence is in a step. Many make it larger than what is multiplied at a time.
CROWDS = (1, 4)


def arithmetic(model: CausalModel, cache: KVCache) -> str:
    """Name what computes the bits of a seeded text; "" where they depend on company as well.

    Engines of equal name compute equal bits from equal weights, with any number of threads.
    """
    if not isinstance(model, NativeDecoder):
        return ""
    if depends_on_company(model, cache):
        logger.warning("what runs beside a request changes its numbers: seeds are not exact")
        return ""
    capability = torch.backends.cpu.get_cpu_capability()
    made_from = f"{library_name()} {torch.__version__} {capability} {cache.dtype}"
    return hashlib.sha256(made_from.encode()).hexdigest()[:8]


@torch.inference_mode()
def depends_on_company(model: CausalModel, cache: KVCache) -> bool:
    """Run a sequence alone, and in pieces in several companies; compare all its logits bit by bit.

    Uses the first blocks, before anything is served.
    """
    length, needed = PROOF_TOKENS, proof_blocks(cache.block_size) // 2
    own, others = (list(range(1 + n * needed, 1 + (n + 1) * needed)) for n in range(2))
    generator = torch.Generator().manual_seed(0)
    ids, other_ids = (
        torch.randint(0, model.vocab_size, (length,), generator=generator).tolist()
        for _ in range(2)
    )

    def logits(start: int, end: int, crowd: tuple[int, ...] = ()) -> Tensor:
        """Run tokens from start to end, and for each of `crowd` as many of another sequence."""
        rows = (_row(ids, start, end, own), *(_row(other_ids, 0, count, others) for count in crowd))
        batch = build_batch(Plan(0, rows), cache.block_size, cache.keys[0].device)
        return model.logits(batch, cache)[: end - start].clone()  # (end - start, V)

    alone = logits(0, length)
    for size in CROWDS:
        pieces = [
            logits(0, 9, (length,) * size),
            logits(9, 10, (1,) * size),
            logits(10, length - 1, (3,) * size),
            logits(length - 1, length),
        ]
        if not torch.equal(torch.cat(pieces), alone):
            return True
    return False


def _row(ids: list[int], start: int, end: int, blocks: list[int]) -> Row:
    """Tokens from start to end of a prompt; every one's logits are wanted."""
    params = SamplingParams(max_tokens=1, prompt_logprobs=0)
    return Row(1, ids, len(ids), start, end - start, blocks, params, 0, samples=False)
