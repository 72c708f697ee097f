"""What one answer says: the gain of each event, and what only its text tells at the end."""

import math
from typing import Any

from inference.answer_parts import AnswerReader
from inference.generation import Generation
from inference.logprobs import finite, spell_token, without_end
from inference.spec import TextDelta, TokenLogprob
from inference.tool_calls import ArgumentsPart, CallBegun, Part, Said
from portal.lib.ids import new_id


class Telling:
    """Grows with its generation; `text` and `tool_calls` are all that was said so far."""

    def __init__(self, generation: Generation) -> None:
        self._texts: list[str] = []
        self.tool_calls: list[dict[str, Any]] = []
        self._reader = AnswerReader(generation)
        self._ended_for_calls = False
        self._asked = generation.spec.sampling.logprobs is not None
        self._end_tokens = generation.eos_token_ids
        self._logprob = 0.0  # of all tokens, summed up
        self._num_tokens = 0

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def gain(self, event: TextDelta) -> dict[str, Any] | None:
        """What a delta frame says of this event; nothing when it says nothing."""
        gain: dict[str, Any] = {"text": ""}
        calls = []
        for part in self._reader.parts(event):
            if isinstance(part, Said):
                gain["text"] += part.text
            else:
                calls.append(self._call(part))
        self._texts.append(gain["text"])
        if calls:
            gain["tool_calls"] = calls
        if self._asked and (tokens := without_end([event], self._end_tokens)):
            gain["logprobs"] = [self._token(token) for token in tokens]
        if self._reader.ended_for_calls(event.finish_reason):
            self._ended_for_calls = True
        return gain if gain["text"] or len(gain) > 1 else None

    def _call(self, part: Part) -> dict[str, Any]:
        """More of a call, as OpenAI's streams have it."""
        match part:
            case CallBegun(index, name):
                function = {"name": name, "arguments": ""}
                call = {"id": new_id("call"), "type": "function", "function": function}
                self.tool_calls.append(call)
                return {"index": index, **call, "function": dict(function)}
            case ArgumentsPart(index, text):
                self.tool_calls[index]["function"]["arguments"] += text
                return {"index": index, "function": {"arguments": text}}
        raise AssertionError("text is no call")

    def _token(self, token: TokenLogprob) -> dict[str, Any]:
        logprob = finite(token.logprob)
        self._logprob += logprob
        self._num_tokens += 1
        return {
            "token": spell_token(token.token_bytes),
            "logprob": logprob,
            "top": [[spell_token(raw), finite(other)] for _, raw, other in token.top],
        }

    def measured(self) -> dict[str, Any]:
        """What the text adds to the summary."""
        told: dict[str, Any] = {"finish_reason": "tool_calls"} if self._ended_for_calls else {}
        if self._num_tokens:
            told["logprob"] = self._logprob
            # The most that a float holds is e to the 709th.
            told["perplexity"] = math.exp(min(-self._logprob / self._num_tokens, 709.0))
        return told
