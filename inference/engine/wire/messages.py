"""Between the engine's own types and the messages of the protocol."""

import math
from collections.abc import Callable
from typing import cast

from inference.engine.params import Grammar, SamplingParams
from inference.engine.plan import Logprobs
from inference.engine.request import FinishReason
from inference.engine.wire import engine_pb2

TokenBytes = Callable[[int], bytes]

_PLAIN_FIELDS = (
    "max_tokens",
    "min_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "ignore_eos",
    "tool_format",
)
_OPTIONAL_FIELDS = ("seed", "logprobs", "prompt_logprobs")


def sampling_to_wire(params: SamplingParams) -> engine_pb2.Sampling:
    """Write every field, so that the protocol's zero defaults never speak for a caller."""
    message = engine_pb2.Sampling(
        stop=params.stop,
        stop_token_ids=params.stop_token_ids,
        logit_bias=dict(params.logit_bias),
        **{name: getattr(params, name) for name in _PLAIN_FIELDS},
    )
    for name in _OPTIONAL_FIELDS:
        value = getattr(params, name)
        if value is not None:
            setattr(message, name, value)
    if params.grammar is not None:
        message.grammar.CopyFrom(grammar_to_wire(params.grammar))
    return message


def sampling_from_wire(message: engine_pb2.Sampling) -> SamplingParams:
    """Read the parameters; ValueError when one is out of its range.

    `repetition_penalty` 0 is not a valid value: it is what an unset field reads as, and means 1.
    """
    values = {name: getattr(message, name) for name in _PLAIN_FIELDS}
    values["repetition_penalty"] = message.repetition_penalty or 1.0
    for name in _OPTIONAL_FIELDS:
        values[name] = getattr(message, name) if message.HasField(name) else None
    return SamplingParams(
        stop=tuple(message.stop),
        stop_token_ids=tuple(message.stop_token_ids),
        logit_bias=tuple(sorted(message.logit_bias.items())),
        grammar=grammar_from_wire(message.grammar) if message.HasField("grammar") else None,
        **values,
    )


def grammar_to_wire(grammar: Grammar) -> engine_pb2.Grammar:
    """Write a grammar: its kind is the name of the field that holds its text."""
    message = engine_pb2.Grammar(lenient=grammar.lenient)
    setattr(message, grammar.kind, grammar.source)
    return message


def grammar_from_wire(message: engine_pb2.Grammar) -> Grammar:
    """Read a grammar; ValueError when it is empty or too long."""
    kind = message.WhichOneof("source")
    if kind is None:
        raise ValueError("the grammar has no source")
    return Grammar(kind, getattr(message, kind), message.lenient)


def finish_to_wire(reason: FinishReason) -> engine_pb2.FinishReason:
    """Write why a sequence ended: the numbers are the same."""
    return cast("engine_pb2.FinishReason", int(reason))


def write_end(
    delta: engine_pb2.SequenceDelta,
    reason: FinishReason,
    *,
    error: str = "",
    stop_reason: str = "",
    retry_after_s: float = 0.0,
) -> None:
    """Let a delta be the last one of its sequence."""
    delta.finish_reason = finish_to_wire(reason)
    delta.error = error
    delta.stop_reason = stop_reason
    delta.retry_after_ms = math.ceil(retry_after_s * 1000)


def logprobs_to_wire(
    entry: Logprobs, token_bytes: TokenBytes, *, silent: bool = False
) -> engine_pb2.TokenLogprobs:
    """Write one token's log-probabilities; an absent one is NaN."""
    return engine_pb2.TokenLogprobs(
        token_id=entry.token_id,
        token_bytes=token_bytes(entry.token_id),
        logprob=math.nan if entry.logprob is None else entry.logprob,
        top=[
            engine_pb2.TopLogprob(
                token_id=token_id, token_bytes=token_bytes(token_id), logprob=logprob
            )
            for token_id, logprob in entry.top
        ],
        silent=silent,
    )
