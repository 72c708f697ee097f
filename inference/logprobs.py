"""Log-probabilities as JSON can hold them, and tokens as people can read them."""

from collections.abc import Sequence

from inference.spec import TextDelta, TokenLogprob

# JSON has no infinity; this is what OpenAI sends for what is practically impossible.
LEAST = -9999.0


def without_end(deltas: Sequence[TextDelta], eos_token_ids: frozenset[int]) -> list[TokenLogprob]:
    """Every sampled token that stands for text: a chat's content ends before its end token."""
    entries = [entry for delta in deltas for entry in delta.logprobs]
    if entries and deltas[-1].finish_reason == "stop" and entries[-1].token_id in eos_token_ids:
        entries.pop()
    return entries


def spell_token(raw: bytes) -> str:
    """The token's text, or `bytes:\\xe4\\xbd` when it is only a part of a character."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def finite(logprob: float | None) -> float:
    return LEAST if logprob is None or logprob < LEAST else logprob
