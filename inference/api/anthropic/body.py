"""The bodies of `/v1/messages` and of its counting, and what they ask of the service."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from inference.api.anthropic.blocks import TextBlock, Turn, converse
from inference.api.bodies import RequestBody, ignored_in
from inference.api.schemas import STOP, Metadata, SamplingBody, check_stop
from inference.errors import invalid
from inference.forms import schema_constraint
from inference.spec import ChatPrompt, Constraint, GenerationSpec, ToolUse
from inference.tool_choice import (
    MAX_TOOLS,
    Choice,
    Name,
    Named,
    form_of_text,
    make_tool,
    may_be_called,
)

MAX_STOPS = 16


class AnthropicTool(RequestBody):
    type: Literal["custom"] = "custom"
    name: Name
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class ToolChoice(RequestBody):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False

    def read(self) -> Choice:
        """Raises ServiceError when a tool is to be used and none is named."""
        parallel = False if self.disable_parallel_tool_use else None
        if self.type == "auto":
            return Choice("auto", parallel)
        if self.type == "any":
            return Choice("required", parallel)
        if self.type == "none":
            return Choice("none")
        if self.name is None:
            message = "Missing required parameter: 'tool_choice.name'."
            raise invalid(message, "tool_choice.name", "missing_required_parameter")
        return Choice("required", False, (Named(self.name, "tool_choice.name"),))


class OutputFormat(RequestBody):
    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(RequestBody):
    format: OutputFormat | None = None
    effort: None = None

    def constraint(self) -> Constraint | None:
        if self.format is None:
            return None
        return schema_constraint(self.format.schema_, "output_config.format.schema", lenient=False)


class PromptBody(RequestBody):
    """What makes the prompt: all that counting needs."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    messages: Annotated[list[Turn], Field(min_length=1, max_length=2048)]
    system: Any = None
    tools: Annotated[list[AnthropicTool], Field(max_length=MAX_TOOLS)] = []
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig = OutputConfig()
    cache_control: dict[str, Any] | None = None  # every prompt's beginning is cached here

    def ignored_fields(self) -> list[str]:
        parts = ignored_in(self.system, "system", TextBlock.model_fields)
        return [*super().ignored_fields(), *parts]

    def prompt(self) -> tuple[ChatPrompt, ToolUse | None]:
        """Raises ServiceError naming what is not what it should be."""
        tools = [
            make_tool(
                tool.name,
                tool.description,
                tool.input_schema,
                param=f"tools[{place}].input_schema",
                lenient=not tool.strict,
            )
            for place, tool in enumerate(self.tools)
        ]
        choice = Choice("auto") if self.tool_choice is None else self.tool_choice.read()
        callable_tools, tool_use = may_be_called(tools, choice)
        messages = tuple(converse(self.system, self.messages).messages)
        return ChatPrompt(messages, callable_tools), tool_use


def _check_stop_sequences(value: Any) -> Sequence[str]:
    if not isinstance(value, list):
        raise ValueError("it must be a list of strings")
    return check_stop(value)


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: item for name, item in value.items() if item is not None}


class MessagesBody(SamplingBody, PromptBody):
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)]
    temperature: Annotated[float, Field(ge=0, le=1)] = 1.0
    stop: Annotated[
        Any,
        AfterValidator(_check_stop_sequences),
        Field(alias="stop_sequences"),
        WithJsonSchema({"type": "array", "maxItems": MAX_STOPS, "items": STOP}),
    ] = []
    metadata: Annotated[Metadata, BeforeValidator(_without_nulls)] = {}

    def to_spec(self) -> GenerationSpec:
        """Raises ServiceError (400) naming the field that cannot be served."""
        if len(self.stop) > MAX_STOPS:
            message = f"Invalid value for 'stop_sequences': at most {MAX_STOPS} sequences."
            raise invalid(message, "stop_sequences")
        prompt, tool_use = self.prompt()
        constraint = form_of_text(self.output_config.constraint(), tool_use)
        return GenerationSpec(
            model=self.model,
            prompts=(prompt,),
            sampling=self.sampling(self.max_tokens, None),
            max_tokens=self.max_tokens,
            face="api",
            endpoint="messages",
            stream=self.stream,
            constraint=constraint,
            tool_use=tool_use,
            batch=self.is_batch,
            metadata=self.metadata,
        )
