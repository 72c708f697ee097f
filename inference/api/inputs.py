"""Texts and token ids that a request asks about, parsed strictly: `prompt` and `input`.

Who sends something else is told the place where it is wrong. What endpoints that encode have in
common stands here as well.
"""

from dataclasses import dataclass
from typing import Any

from inference.api.schemas import BilledBody
from inference.engine.params import SamplingParams
from inference.errors import ServiceError, invalid
from inference.spec import EncoderTask, GenerationSpec, Summary, TextPrompt, TokenPrompt

MAX_INPUTS = 2048
Input = TextPrompt | TokenPrompt


@dataclass(frozen=True, slots=True)
class InputField:
    """A field that holds a string or a list of strings, or ids in the same two ways.

    `most`: how many strings, or lists of ids, fit into it.
    """

    name: str
    most: int
    ids_allowed: bool = True
    empty_allowed: bool = False  # of a string; no list is ever empty

    def read(self, value: Any) -> tuple[Input, ...]:
        """Raises ServiceError (400) naming the place that is not what it should be."""
        if isinstance(value, str):
            return (self._text(value, self.name),)
        if not isinstance(value, list):
            raise self._wrong_type(self.name)
        if not value:
            raise _empty(self.name)
        # Also one that is no id: it is then named.
        if self.ids_allowed and isinstance(value[0], int):
            return (self._ids(value, self.name),)
        if len(value) > self.most:
            message = f"'{self.name}' has {len(value):,} parts; at most {self.most:,} fit."
            raise invalid(message, self.name, "invalid_value")
        read = self._text if isinstance(value[0], str) or not self.ids_allowed else self._ids
        return tuple(read(each, f"{self.name}[{index}]") for index, each in enumerate(value))

    def _text(self, value: Any, param: str) -> TextPrompt:
        if not isinstance(value, str):
            raise self._wrong_type(param)
        if not value and not self.empty_allowed:
            raise _empty(param)
        return TextPrompt(value, param)

    def _ids(self, value: Any, param: str) -> TokenPrompt:
        if not isinstance(value, list):
            raise self._wrong_type(param)
        if not value:
            raise _empty(param)
        for index, token_id in enumerate(value):
            # By type: a boolean is an int in Python.
            if type(token_id) is not int or not 0 <= token_id < 2**31:
                place = f"{param}[{index}]"
                message = f"Invalid type for '{place}': it must be a token id."
                raise invalid(message, place, "invalid_type")
        return TokenPrompt(tuple(value), param)

    def _wrong_type(self, param: str) -> ServiceError:
        shapes = "a string or a list of strings"
        if self.ids_allowed:
            shapes = (
                "a string, a list of strings, a list of token ids or a list of lists of token ids"
            )
        message = f"Invalid type for '{param}': '{self.name}' is {shapes}."
        return invalid(message, param, "invalid_type")


def _empty(param: str) -> ServiceError:
    return invalid(f"Invalid value for '{param}': it is empty.", param, "invalid_value")


# --- What encodes -------------------------------------------------------------------------------


def encoder_spec(
    body: BilledBody, endpoint: str, inputs: tuple[Input, ...], task: EncoderTask
) -> GenerationSpec:
    """What an encoder is asked: nothing is sampled."""
    return GenerationSpec(
        model=body.model,
        prompts=inputs,
        sampling=SamplingParams(max_tokens=0),
        max_tokens=0,
        limit_param="input",
        face="api",
        endpoint=endpoint,
        task=task,
        batch=body.is_batch,
        metadata=body.metadata,
    )


def input_usage(summary: Summary) -> dict[str, int]:
    return {"prompt_tokens": summary.prompt_tokens, "total_tokens": summary.prompt_tokens}
