"""Puts an encoder together: checkpoint, tokenizer, queue."""

import argparse
import logging
from pathlib import Path

import torch
from transformers import AutoTokenizer

from inference.engine.build import MODEST_FLOPS, choose_device, digest, physical_cores
from inference.engine.encoders.checkpoint import EncoderFacts
from inference.engine.encoders.jobs import EncoderLimits
from inference.engine.encoders.model import (
    EmbeddingModel,
    MaskedLanguageModel,
    load_embedding_model,
    load_masked_model,
)
from inference.engine.encoders.server import ServedEncoder
from inference.engine.encoders.tokenizer import HuggingFaceEncoderCodec
from inference.engine.memory import check_weights_fit

logger = logging.getLogger(__name__)

CPU_BUDGET = 4096
CUDA_BUDGET = 65536


def build_encoder(args: argparse.Namespace, facts: EncoderFacts) -> ServedEncoder:
    """Load what the command line asks for. ValueError with the reason when it cannot be served."""
    if args.quantize or args.tensor_parallel != 1:
        raise ValueError("Encoders are served on one device, with their weights as they are.")
    device = choose_device(args.device)
    # Also on GPUs: encoders are small, and half the bits would show in their vectors.
    dtype = torch.float32 if args.dtype == "auto" else getattr(torch, args.dtype)
    check_weights_fit(args.path, device, dtype)
    codec = HuggingFaceEncoderCodec(AutoTokenizer.from_pretrained(args.path), ())
    facts = _shorten(facts, args.max_model_len)
    model = _load(args.path, facts, codec, device, dtype)
    torch.set_num_threads(args.threads or physical_cores())
    model.verify(codec.mask_token_id)
    limits = EncoderLimits(
        max_model_len=facts.max_model_len,
        token_budget=max(args.token_budget or _budget(model), facts.max_model_len),
        max_waiting_tokens=args.max_waiting * facts.max_model_len,
    )
    logger.info("%s; %d tokens a step", facts, limits.token_budget)
    return ServedEncoder(
        kind=facts.kind,
        model=args.model or Path(args.path).name,
        revision=digest(args.path),
        device=f"cuda:{torch.cuda.get_device_name(device)}" if device.type == "cuda" else "cpu",
        dtype=str(dtype).removeprefix("torch."),
        vocab_size=model.vocab_size,
        dimensions=model.dimensions if isinstance(model, EmbeddingModel) else 0,
        codec=codec,
        encoder=model,
        limits=limits,
    )


def _shorten(facts: EncoderFacts, wanted: int | None) -> EncoderFacts:
    if wanted is None:
        return facts
    if wanted > facts.max_model_len:
        raise ValueError(f"The model was made for {facts.max_model_len} tokens, not {wanted}.")
    return EncoderFacts(facts.kind, wanted, facts.pooling, facts.normalised)


def _load(
    path: str,
    facts: EncoderFacts,
    codec: HuggingFaceEncoderCodec,
    device: torch.device,
    dtype: torch.dtype,
) -> EmbeddingModel | MaskedLanguageModel:
    if facts.kind == "embeddings":
        return load_embedding_model(path, facts, device, dtype)
    if not codec.mask_token:
        raise ValueError("Its tokenizer has no mask token.")
    return load_masked_model(path, facts, codec.mask_token_id, device, dtype)


def _budget(model: EmbeddingModel | MaskedLanguageModel) -> int:
    """Return how many tokens a modest processor encodes in about a second."""
    if model.device.type == "cuda":
        return CUDA_BUDGET
    per_second: int = torch.get_num_threads() * MODEST_FLOPS // (2 * model.num_parameters)
    return min(CPU_BUDGET, per_second)
