"""`/tokenize`, `/detokenize` and `/tokenizer_info`, at the root and under `/v1`.

What evaluation harnesses with a remote tokenizer use: the ids are the ones that are billed.
Authenticated, rate-limited, free.
"""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from inference import service
from inference.api.answers import note_ignored
from inference.api.bodies import TOKENIZE_UNSUPPORTED, parse
from inference.api.errors import encode, json_response
from inference.api.exchange import authenticate, exchange_of, read_object
from inference.api.schemas import DetokenizeBody, TokenizeBody
from inference.api.tools import read_tools
from inference.errors import invalid
from inference.spec import ChatPrompt, Prompt, TextPrompt

PIECE = 1 << 13  # items that are written in one go


async def tokenize(request: Request) -> Response:
    exchange = exchange_of(request)
    exchange.endpoint = "tokenize"
    caller = await authenticate(request)
    body = parse(TokenizeBody, await read_object(request), TOKENIZE_UNSUPPORTED)
    prompt = _prompt(body)
    note_ignored(exchange, body)
    entry, encoded, allowance = await service.tokenize(
        body.model,
        prompt,
        caller,
        with_tokens=body.return_token_strs,
        add_generation_prompt=body.add_generation_prompt,
        add_special_tokens=body.add_special_tokens,
    )
    exchange.headers |= allowance.headers()
    head = encode({"count": len(encoded.token_ids), "max_model_len": entry.max_model_len})
    token_ids = await _spell(encoded.token_ids)
    tokens = await _spell(encoded.tokens) if body.return_token_strs else b"null"
    answer = b'%b,"tokens":%b,"token_strs":%b}' % (head[:-1], token_ids, tokens)
    return Response(answer, media_type="application/json")


async def _spell(items: Sequence[int] | Sequence[str]) -> bytes:
    """A JSON array; while it is written others have their turn, for it may have a million items."""
    pieces = []
    for start in range(0, len(items), PIECE):
        if start:
            await asyncio.sleep(0)
        pieces.append(encode(items[start : start + PIECE])[1:-1])
    return b"[%b]" % b",".join(pieces)


def _prompt(body: TokenizeBody) -> Prompt:
    if body.messages is not None:
        if body.prompt is not None:
            raise invalid("Send either 'prompt' or 'messages'.", "prompt")
        messages = tuple(m.to_chat_message(i) for i, m in enumerate(body.messages))
        tools, _ = read_tools(body.tools, None, None)
        return ChatPrompt(messages, tools)
    if body.prompt is None:
        message = "Missing required parameter: 'prompt' (or 'messages')."
        raise invalid(message, "prompt", "missing_required_parameter")
    return TextPrompt(body.prompt)


async def detokenize(request: Request) -> Response:
    exchange = exchange_of(request)
    exchange.endpoint = "detokenize"
    caller = await authenticate(request)
    body = parse(DetokenizeBody, await read_object(request))
    note_ignored(exchange, body)
    text, allowance = await service.detokenize(body.model, tuple(body.tokens), caller)
    exchange.headers |= allowance.headers()
    return json_response({"prompt": text})


async def tokenizer_info(request: Request) -> Response:
    exchange = exchange_of(request)
    exchange.endpoint = "tokenizer_info"
    caller = await authenticate(request)
    model = request.query_params.get("model", "")
    info, allowance = await service.tokenizer_info(model, caller)
    exchange.headers |= allowance.headers()
    return json_response(info)
