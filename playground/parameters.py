"""The parameters of a run, as a frame gives them: their ranges, and what the service makes of them.

Names, ranges and forms are those of the REST API, so that a request can be shown as code.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from inference.engine.params import MOST_LOGPROBS, SamplingParams
from inference.errors import invalid
from inference.forms import any_object, schema_constraint
from inference.spec import Constraint, Tool, ToolUse
from inference.tool_choice import MAX_TOOLS, Name, make_tool, may_be_called, read_choice
from playground.strict import Part

MAX_STOPS = 4
MAX_STOP_CHARS = 256
COMPLETION_LOGPROBS = 5  # as many as `/v1/completions` shows
_INT64 = 2**63

Stop = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]


class FunctionBody(Part):
    """A tool; `parameters` is the JSON schema of its arguments."""

    name: Name
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool = False


class ToolBody(Part):
    type: Literal["function"]
    function: FunctionBody


class JsonSchema(Part):
    name: Name
    description: str = ""
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool = False


class ResponseFormat(Part):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Parameters(Part):
    """How to sample, and what the text may be; `playground.controls` describes them for people."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0, lt=2**31)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    stop: Annotated[list[Stop], Field(max_length=MAX_STOPS)] = []
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    repetition_penalty: Annotated[float, Field(ge=0.01, le=10)] = 1.0
    seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[ToolBody], Field(max_length=MAX_TOOLS)] = []
    # Read by `inference.tool_choice.read_choice`.
    tool_choice: Any = None

    def to_sampling(self, max_tokens: int | None) -> SamplingParams:
        """Raises ServiceError when alternatives are asked of probabilities that are not."""
        if self.top_logprobs is not None and not self.logprobs:
            message = (
                "'parameters.top_logprobs' is only allowed when 'parameters.logprobs' is true."
            )
            raise invalid(message, "parameters.top_logprobs")
        return SamplingParams(
            max_tokens=max_tokens or 1,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
            stop=tuple(self.stop),
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
        )

    def constraint(self) -> Constraint | None:
        """What the text has to be. Raises ServiceError naming what is missing."""
        wanted = self.response_format
        if wanted is None or wanted.type == "text":
            return None
        if wanted.type == "json_object":
            return any_object("parameters.response_format")
        param = "parameters.response_format.json_schema"
        if wanted.json_schema is None:
            raise invalid(f"Missing field: '{param}'.", param, "missing_field")
        schema, strict = wanted.json_schema.schema_, wanted.json_schema.strict
        return schema_constraint(schema, f"{param}.schema", lenient=not strict)

    def tool_use(self) -> tuple[tuple[Tool, ...], ToolUse | None]:
        """The tools and how they may be called. Raises ServiceError naming what does not fit."""
        tools = [
            make_tool(
                body.function.name,
                body.function.description,
                body.function.parameters,
                param=f"parameters.tools[{place}].function.parameters",
                lenient=not body.function.strict,
            )
            for place, body in enumerate(self.tools)
        ]
        param = "parameters.tool_choice"
        return may_be_called(tools, read_choice(self.tool_choice, None, nested=True, param=param))

    def check_completion(self) -> None:
        """Raises ServiceError for what `/v1/completions` would not take."""
        if self.tools:
            raise invalid("Only chats have tools: they need 'messages'.", "parameters.tools")
        if (self.top_logprobs or 0) > COMPLETION_LOGPROBS:
            message = f"For a prompt 'parameters.top_logprobs' is at most {COMPLETION_LOGPROBS}."
            raise invalid(message, "parameters.top_logprobs", "invalid_value")
