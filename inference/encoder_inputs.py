"""Turns the inputs of a request to an encoder into token ids, and refuses what it cannot serve.

The engine encodes, as for prompts: what is checked here, what `/tokenize` says and what is billed
are one number. Ids that a caller sends are taken as they are, when they can be this model's.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from inference import errors
from inference.engine.wire import engine_pb2 as wire
from inference.generation import PreparedPrompt, queue_full
from inference.prompts import check_ids, check_size
from inference.spec import Embed, FillMask, GenerationSpec, TextPrompt, TokenPrompt

if TYPE_CHECKING:
    from inference.client import EngineLink

MAX_REQUEST_TOKENS = 300_000  # of all inputs together
MAX_CANDIDATES = 2000  # of all masks together: each is spelt out


async def prepare_inputs(
    spec: GenerationSpec, link: "EngineLink", tenant: str
) -> tuple[GenerationSpec, list[PreparedPrompt]]:
    """Encode every input and check it; return the spec with its targets found.

    Raises ServiceError: 400 naming the field, 503 when the engine does not answer, or when its
    queue is full for this tenant: that is known before anything is held or written.
    """
    info, task = link.info, spec.task
    assert info is not None
    assert task is not None
    encoded = await _encode(spec, link, tenant)
    params = [prompt.param for prompt in spec.prompts]
    for prompt, token_ids in zip(spec.prompts, encoded, strict=True):
        _check(token_ids, info, prompt.param)
        if isinstance(prompt, TokenPrompt):
            _check_frame(token_ids, info, prompt.param)
    num_tokens = sum(map(len, encoded))
    if num_tokens > MAX_REQUEST_TOKENS:
        message = (
            f"The inputs have {num_tokens:,} tokens in all; at most {MAX_REQUEST_TOKENS:,} fit "
            "into one request."
        )
        raise errors.invalid(message, "input", "context_length_exceeded")
    if isinstance(task, FillMask):
        spec = replace(spec, task=await _prepare_masks(task, params, encoded, link))
    else:
        _check_dimensions(task, info)
    return spec, [PreparedPrompt(token_ids, max_tokens=0) for token_ids in encoded]


async def _encode(spec: GenerationSpec, link: "EngineLink", tenant: str) -> list[Sequence[int]]:
    given = [prompt.token_ids for prompt in spec.prompts if isinstance(prompt, TokenPrompt)]
    request = wire.TokenizeAllRequest(
        texts=[prompt.text for prompt in spec.prompts if isinstance(prompt, TextPrompt)],
        place=wire.Place(tenant=tenant, priority=int(spec.batch)),
        num_tokens=sum(map(len, given)),
    )
    for prompt in spec.prompts:
        if isinstance(prompt, TextPrompt):
            check_size(len(prompt.text.encode()), prompt.param, link)
    try:
        async with link.turn(tenant, request.ByteSize()):
            encoded = iter(await link.tokenize_all(request))
    except link.FULL as full:
        raise queue_full(full.retry_after_ms) from None
    except link.REFUSED as refusal:
        raise errors.invalid(str(refusal), "input") from None
    except link.UNAVAILABLE:
        raise errors.engine_silent() from None
    return [
        prompt.token_ids if isinstance(prompt, TokenPrompt) else next(encoded)
        for prompt in spec.prompts
    ]


def _check(token_ids: Sequence[int], info: wire.EngineInfo, param: str) -> None:
    if not token_ids:
        raise errors.invalid(f"'{param}' is empty.", param, "invalid_value")
    if len(token_ids) > info.max_model_len:
        message = (
            f"'{param}' has {len(token_ids):,} tokens; an input of this model has at most "
            f"{info.max_model_len:,}. Please shorten it or divide it."
        )
        raise errors.invalid(message, param, "context_length_exceeded")
    check_ids(param, token_ids, info)


def _check_frame(token_ids: Sequence[int], info: wire.EngineInfo, param: str) -> None:
    """Ids of another tokenizer would have a vector, too, of nothing that anybody wrote.

    They lack the special tokens that the model's own puts at the ends, which are nearly the only
    sign of it.
    """
    first, last = tuple(info.first_token_ids), tuple(info.last_token_ids)
    begins = tuple(token_ids[: len(first)]) == first
    if not begins or tuple(token_ids[len(token_ids) - len(last) :]) != last:
        ends = " and ".join(
            f"{verb} {', '.join(map(str, ids))}"
            for verb, ids in (("begin with", first), ("end with", last))
            if ids
        )
        message = (
            f"'{param}' holds token ids of another tokenizer: for this model they {ends}, as "
            "/tokenize gives them. Please send the text itself, or the model's own ids (with "
            "LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)."
        )
        raise errors.invalid(message, param, "invalid_value")


def _check_dimensions(task: Embed, info: wire.EngineInfo) -> None:
    if task.dimensions is not None and task.dimensions > info.dimensions:
        message = f"The vectors of this model have {info.dimensions:,} dimensions, not more."
        raise errors.invalid(message, "dimensions", "invalid_value")


async def _prepare_masks(
    task: FillMask,
    params: Sequence[str],
    encoded: Sequence[Sequence[int]],
    link: "EngineLink",
) -> FillMask:
    """`params` are the fields that the encoded inputs came in."""
    info = link.info
    assert info is not None
    num_masks = 0
    for param, token_ids in zip(params, encoded, strict=True):
        found = sum(token_id == info.mask_token_id for token_id in token_ids)
        if not found:
            message = f"'{param}' has no mask: write {info.mask_token} where a token is missing."
            raise errors.invalid(message, param, "invalid_value")
        num_masks += found
    if num_masks * task.top_k > MAX_CANDIDATES:
        message = (
            f"{num_masks:,} masks times 'top_k' of {task.top_k} are {num_masks * task.top_k:,} "
            f"candidates; one request has at most {MAX_CANDIDATES:,}."
        )
        raise errors.invalid(message, "top_k", "invalid_value")
    return replace(task, target_ids=await _find_targets(task, link))


async def _find_targets(task: FillMask, link: "EngineLink") -> tuple[int, ...]:
    if not task.targets:
        return ()
    try:
        found = await link.find_tokens(task.targets)
    except link.UNAVAILABLE:
        raise errors.engine_silent() from None
    for index, (text, token_id) in enumerate(zip(task.targets, found, strict=True)):
        if token_id is None:
            message = f"{text[:64]!r} is not one token of this model; see /tokenize."
            raise errors.invalid(message, f"targets[{index}]", "invalid_value")
    return tuple(dict.fromkeys(token_id for token_id in found if token_id is not None))
