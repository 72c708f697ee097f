"""Turns prompts into token ids, the way the engine does: it alone renders templates and encodes.

What `/tokenize` says, what is checked against the context and what is billed are one number.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from inference import errors
from inference.engine.wire import engine_pb2 as wire
from inference.errors import ServiceError
from inference.generation import PreparedPrompt, queue_full
from inference.sentences import Sentence
from inference.spec import ChatPrompt, GenerationSpec, Prompt, TextPrompt, TokenPrompt
from inference.tool_prompts import adapt, tools_json

if TYPE_CHECKING:
    from inference.client import EngineLink


# The longest text that is encoded: so much, or so much for each token of the context. Documents are
# counted by whoever cuts them, and there are tokens of many letters, so both are generous.
MAX_TEXT_BYTES = 1 << 20
MAX_BYTES_PER_TOKEN = 16
SPECIAL_TOKENS = (
    "bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Encoded:
    """`tokens` holds each id's text when that was asked for."""

    token_ids: Sequence[int]
    tokens: Sequence[str] = ()


async def prepare_all(
    spec: GenerationSpec, link: "EngineLink", tenant: str
) -> list[PreparedPrompt]:
    """Encode every prompt and check it against the model's vocabulary and context.

    Raises ServiceError: 400 naming the field, 503 when the engine does not answer, or when its
    queue is full for this tenant: that is known before anything is held or written.
    """
    info = link.info
    assert info is not None
    check_ids("logit_bias", (token_id for token_id, _ in spec.sampling.logit_bias), info)
    check_ids("stop_token_ids", spec.sampling.stop_token_ids, info)
    place = wire.Place(
        tenant=tenant, priority=int(spec.batch), num_sequences=spec.best_of or spec.n
    )
    if len(spec.prompts) == 1:  # as nearly always: no task of its own
        return [await _prepare(spec.prompts[0], spec, link, place)]
    prepared = (_prepare(prompt, spec, link, place) for prompt in spec.prompts)
    return list(await asyncio.gather(*prepared))


async def _prepare(
    prompt: Prompt, spec: GenerationSpec, link: "EngineLink", place: wire.Place
) -> PreparedPrompt:
    info = link.info
    assert info is not None
    param = prompt.param
    token_ids = (await encode(prompt, link, place.tenant, place=place)).token_ids
    if isinstance(prompt, TokenPrompt):
        check_ids(param, token_ids, info)
    if not token_ids:
        # As if from the beginning of a new document.
        token_ids = info.eos_token_ids[:1]
    if not token_ids:
        raise errors.invalid(_("The prompt is empty."), param)
    room = info.max_model_len - len(token_ids)
    if room < (1 if spec.max_tokens is None else spec.max_tokens) or room < 1:
        raise errors.context_too_long(
            num_prompt=len(token_ids),
            max_tokens=spec.max_tokens,
            limit=info.max_model_len,
            param=param,
            limit_param=spec.limit_param,
        )
    text = ""
    if spec.echo:
        if isinstance(prompt, TextPrompt):
            text = prompt.text
        else:
            text = await decode(token_ids, link, place.tenant)
    return PreparedPrompt(token_ids, room if spec.max_tokens is None else spec.max_tokens, text)


async def encode(
    prompt: Prompt,
    link: "EngineLink",
    tenant: str,
    *,
    with_tokens: bool = False,
    add_generation_prompt: bool = True,
    add_special_tokens: bool | None = None,
    place: wire.Place | None = None,
) -> Encoded:
    """The ids of a prompt that may be submitted in `place`. Raises as `prepare_all` does.

    `add_special_tokens`: around a text or a chat; None: as prompts are made, around texts alone.
    """
    if isinstance(prompt, TokenPrompt):
        if place is not None:
            await _ask(wire.TokenizeRequest(place=place), prompt, link, tenant)
        return Encoded(prompt.token_ids)
    if isinstance(prompt, TextPrompt):
        request = wire.TokenizeRequest(
            text=prompt.text,
            with_tokens=with_tokens,
            place=place,
            add_special_tokens=add_special_tokens,
        )
    else:
        _check_has_template(link)
        assert link.info is not None
        chat = _chat_message(adapt(prompt, link.info.tool_format), add_generation_prompt)
        request = wire.TokenizeRequest(
            chat=chat, with_tokens=with_tokens, place=place, add_special_tokens=add_special_tokens
        )
    reply = await _ask(request, prompt, link, tenant)
    return Encoded(reply.token_ids, reply.tokens)


async def _ask(
    request: wire.TokenizeRequest, prompt: Prompt, link: "EngineLink", tenant: str
) -> wire.TokenizeReply:
    num_bytes = request.ByteSize()
    check_size(num_bytes, prompt.param, link)
    try:
        async with link.turn(tenant, num_bytes):
            return await link.tokenize(request)
    except link.FULL as full:
        raise queue_full(full.retry_after_ms) from None
    except link.REFUSED as refusal:
        raise errors.invalid(str(refusal), prompt.param) from None
    except link.UNAVAILABLE:
        raise errors.engine_silent() from None


def check_size(num_bytes: int, param: str, link: "EngineLink") -> None:
    """Raises ServiceError (400) for a text that is too long to be encoded."""
    assert link.info is not None
    context = link.info.max_model_len
    most = max(MAX_TEXT_BYTES, MAX_BYTES_PER_TOKEN * context)
    if num_bytes > most:
        raise errors.text_too_long(num_bytes=num_bytes, most=most, limit=context, param=param)


async def decode(token_ids: Sequence[int], link: "EngineLink", tenant: str) -> str:
    """The text of ids, special tokens written out. Raises as `prepare_all` does."""
    assert link.info is not None
    check_ids("tokens", token_ids, link.info)
    try:
        async with link.turn(tenant, len(token_ids)):
            return await link.detokenize(token_ids)
    except link.FULL as full:
        raise queue_full(full.retry_after_ms) from None
    except link.REFUSED as refusal:
        raise errors.invalid(str(refusal), "tokens") from None
    except link.UNAVAILABLE:
        raise errors.engine_silent() from None


async def describe_tokenizer(link: "EngineLink") -> dict[str, object]:
    """What evaluation harnesses with a remote tokenizer ask for, in vLLM's words.

    Raises ServiceError (503) when the engine does not answer.
    """
    info = link.info
    assert info is not None
    try:
        described = await link.describe_tokenizer()
    except link.UNAVAILABLE:
        raise errors.engine_silent() from None
    return {
        "tokenizer_class": described.tokenizer_class,
        "model": info.model,
        **{name: getattr(described, name) or None for name in SPECIAL_TOKENS},
        "eos_token_ids": list(info.eos_token_ids),
        "chat_template": described.chat_template or None,
        "has_chat_template": info.has_chat_template,
        "vocab_size": info.vocab_size,
        "model_max_length": info.max_model_len,
    }


def _chat_message(prompt: ChatPrompt, add_generation_prompt: bool) -> wire.ChatPrompt:
    return wire.ChatPrompt(
        messages=[
            wire.ChatMessage(
                role=message.role,
                content=message.content,
                name=message.name,
                extra_json=message.extra_json,
            )
            for message in prompt.messages
        ],
        add_generation_prompt=add_generation_prompt,
        tools_json=tools_json(prompt.tools),
    )


def _check_has_template(link: "EngineLink") -> None:
    if link.info is None or not link.info.has_chat_template:
        no_template = _("The model %(name)r has no chat template; use /v1/completions.")
        message = Sentence(no_template, name=link.model)
        raise ServiceError(400, "invalid_request_error", "not_a_chat_model", message, "model")


def check_ids(param: str, token_ids: Iterable[int], info: wire.EngineInfo) -> None:
    """Raises ServiceError (400) for an id outside the vocabulary."""
    worst = max(token_ids, default=0)
    if worst >= info.vocab_size:
        message = f"Token id {worst} is outside the vocabulary of {info.vocab_size:,} tokens."
        raise errors.invalid(message, param)
