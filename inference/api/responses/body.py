"""The body of `/v1/responses`, field by field, and what it asks of the service."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from inference.api.bodies import RequestBody, parse_part
from inference.api.formats import JsonSchema
from inference.api.responses.items import InputItem, converse
from inference.api.schemas import CACHING, BilledBody, SamplingBody, StreamOptions, ToolChoice
from inference.api.tools import FunctionBody
from inference.errors import invalid
from inference.forms import any_object
from inference.spec import ChatPrompt, Constraint, GenerationSpec, ToolUse
from inference.tool_choice import MAX_TOOLS, form_of_text, may_be_called, read_choice

MAX_STOPS = 16
LOGPROBS = "message.output_text.logprobs"
# They ask for parts of items that are never made here, so nothing is missing without them.
INCLUDES_NOTHING = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)


class Typed(RequestBody):
    type: Literal["function"]


class FlatTool(FunctionBody, Typed):
    """A function without the object around it that the chat endpoint has; its type is seen first.

    Tools of other types have other fields: it would be no help to name what they lack of these.
    What OpenAI has beside them is refused: there is no program that calls, and no search for tools.
    """

    allowed_callers: list[Literal["direct"]] | None = None
    defer_loading: Literal[False] | None = None
    output_schema: None = None


_SCHEMA_FIELDS = [field.alias or name for name, field in JsonSchema.model_fields.items()]


class PlainFormat(RequestBody):
    type: Literal["text", "json_object", "json_schema"]


class TextOptions(RequestBody):
    format: dict[str, Any] | None = None
    verbosity: Literal["medium"] | None = None

    def ignored_fields(self) -> list[str]:
        """Also those of the format, which is looked at by its type."""
        found, form = super().ignored_fields(), self.format or {}
        known = {"type", *(_SCHEMA_FIELDS if form.get("type") == "json_schema" else ())}
        return found + [f"format.{name}" for name in sorted(form.keys() - known)]

    def constraint(self) -> Constraint | None:
        """What the text has to be. Raises ServiceError naming what it cannot be."""
        if self.format is None:
            return None
        kind = parse_part(PlainFormat, self.format, "text", "format").type
        if kind == "text":
            return None
        if kind == "json_object":
            return any_object("text.format")
        return parse_part(JsonSchema, self.format, "text", "format").constraint("text.format")


def _check_input(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise ValueError("it must be a string or a list of items")
    return value


Input = Annotated[
    Any,
    AfterValidator(_check_input),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}),
]


class ResponsesBody(SamplingBody):
    input: Input = None
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    tools: Annotated[list[FlatTool], Field(max_length=MAX_TOOLS)] = []
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    text: TextOptions = TextOptions()
    previous_response_id: Annotated[str, Field(max_length=100)] | None = None
    include: Annotated[list[str], Field(max_length=20)] = []
    stream_options: StreamOptions | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None

    without_effect = {**BilledBody.without_effect, **CACHING}

    def prompt(self, items: Sequence[InputItem], first: int) -> tuple[ChatPrompt, ToolUse | None]:
        """The conversation; see `items.converse`. Raises ServiceError naming what is wrong."""
        if not items:
            message = "Missing required parameter: 'input'."
            raise invalid(message, "input", "missing_required_parameter")
        tools = [tool.to_tool(f"tools[{place}]") for place, tool in enumerate(self.tools)]
        choice = read_choice(self.tool_choice, self.parallel_tool_calls, nested=False)
        callable_tools, tool_use = may_be_called(tools, choice)
        messages = tuple(converse(self.instructions, items, first).messages)
        return ChatPrompt(messages, callable_tools, "input"), tool_use

    def to_spec(self, items: Sequence[InputItem], first: int) -> GenerationSpec:
        """Raises ServiceError (400) naming the field that cannot be served."""
        self.check_stops(MAX_STOPS)
        self._check_include()
        prompt, tool_use = self.prompt(items, first)
        constraint = form_of_text(self.text.constraint(), tool_use)
        return GenerationSpec(
            model=self.model,
            prompts=(prompt,),
            sampling=self.sampling(self.max_output_tokens, None),
            max_tokens=self.max_output_tokens,
            face="api",
            endpoint="responses",
            limit_param="max_output_tokens",
            stream=self.stream,
            constraint=constraint,
            tool_use=tool_use,
            batch=self.is_batch,
            metadata=self.metadata,
        )

    def _check_include(self) -> None:
        for place, name in enumerate(self.include):
            param = f"include[{place}]"
            if name == LOGPROBS:
                message = (
                    f"'{LOGPROBS}' is not supported here; /v1/chat/completions has 'logprobs'."
                )
                raise invalid(message, param, "unsupported_value")
            if name not in INCLUDES_NOTHING:
                raise invalid(f"Invalid value for '{param}': unknown.", param, "invalid_value")
