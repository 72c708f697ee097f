"""What an answer has to look like: `response_format`, `structured_outputs`, `tools`.

Parsed strictly, like everything a stranger sends, into a `Constraint` or a `ToolUse`. The schemas
inside are looked at by the engine alone, which names what it cannot enforce.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from inference.api.bodies import RequestBody
from inference.engine.params import Grammar, GrammarKind
from inference.errors import invalid
from inference.spec import Constraint, Tool, ToolUse

MAX_TOOLS = 128
ANY_OBJECT = {"type": "object"}
NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class JsonSchema(RequestBody):
    name: Name
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class ResponseFormat(RequestBody):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def constraint(self) -> Constraint | None:
        """Raises ServiceError naming what is missing."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return _constraint("json_schema", json.dumps(ANY_OBJECT), "response_format")
        param = "response_format.json_schema"
        if self.json_schema is None:
            message = f"Missing required parameter: '{param}'."
            raise invalid(message, param, "missing_required_parameter")
        source = json.dumps(self.json_schema.schema_, ensure_ascii=False)
        lenient = not self.json_schema.strict
        return _constraint("json_schema", source, f"{param}.schema", lenient=lenient)


def _check_schema(value: Any) -> Any:
    if value is not None and not isinstance(value, dict | str):
        raise ValueError("it must be a JSON schema, or the text of one")
    return value


class StructuredOutputs(RequestBody):
    """The extension of vLLM; exactly one of these says what the text has to be."""

    json_: Annotated[Any, Field(alias="json"), AfterValidator(_check_schema)] = None
    regex: str | None = None
    choice: Annotated[list[str], Field(min_length=1)] | None = None
    json_object: bool | None = None

    def constraint(self) -> Constraint:
        """Raises ServiceError unless one is given, and none that is not supported."""
        for name in self.ignored_fields():
            message = f"'structured_outputs.{name}' is not supported by this server."
            raise invalid(message, f"structured_outputs.{name}", "unsupported_parameter")
        given: list[tuple[str, GrammarKind, str]] = []
        if self.json_ is not None:
            given.append(("json", "json_schema", _text(self.json_)))
        if self.regex is not None:
            given.append(("regex", "regex", self.regex))
        if self.choice is not None:
            given.append(("choice", "choices", _text(self.choice)))
        if self.json_object:
            given.append(("json_object", "json_schema", _text(ANY_OBJECT)))
        if len(given) != 1:
            message = (
                "'structured_outputs' has exactly one of 'json', 'regex', 'choice' and "
                "'json_object'."
            )
            raise invalid(message, "structured_outputs")
        [(name, kind, source)] = given
        return _constraint(kind, source, f"structured_outputs.{name}")


class FunctionBody(RequestBody):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolBody(RequestBody):
    type: Literal["function"]
    function: FunctionBody

    def to_tool(self, index: int) -> Tool:
        """Raises ServiceError unless the arguments are an object."""
        function = self.function
        parameters = NO_ARGUMENTS if function.parameters is None else function.parameters
        if parameters.get("type", "object") != "object":
            param = f"tools[{index}].function.parameters.type"
            message = f"Invalid value for '{param}': arguments are always an 'object'."
            raise invalid(message, param, "invalid_value")
        return Tool(
            name=function.name,
            description=function.description or "",
            parameters=_text(ANY_OBJECT | parameters),
            lenient=not function.strict,
        )


def read_tools(
    bodies: Sequence[ToolBody], choice: Any, parallel: bool | None
) -> tuple[tuple[Tool, ...], ToolUse | None]:
    """The tools of a request and how they may be called; none of them when it chooses none.

    Raises ServiceError naming what is not what it should be.
    """
    places: dict[str, int] = {}
    for index, body in enumerate(bodies):
        if places.setdefault(body.function.name, index) != index:
            message = f"Two tools have the name '{body.function.name}'."
            raise invalid(message, f"tools[{index}].function.name")
    if choice == "none" or (not bodies and choice in (None, "auto")):
        return (), None
    tools = tuple(body.to_tool(index) for index, body in enumerate(bodies))
    everything = tuple(places.values())
    if choice is None or choice in ("auto", "required"):
        _check_any(bodies)
        return tools, ToolUse(everything, required=choice == "required", parallel=parallel)
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "function":
        place = _place(choice, places, "tool_choice")
        return tools, ToolUse((place,), required=True, parallel=False)
    if kind == "allowed_tools":
        chosen, required = _allowed(choice.get("allowed_tools"), places)
        return tools, ToolUse(chosen, required=required, parallel=parallel)
    message = (
        "Invalid value for 'tool_choice': it is 'none', 'auto', 'required', or an object of type "
        "'function' or 'allowed_tools'."
    )
    raise invalid(message, "tool_choice", "invalid_value")


def _check_any(bodies: Sequence[ToolBody]) -> None:
    if not bodies:
        message = "'tool_choice' asks for a call, but 'tools' has none."
        raise invalid(message, "tool_choice")


def _allowed(allowed: Any, places: dict[str, int]) -> tuple[tuple[int, ...], bool]:
    param = "tool_choice.allowed_tools"
    tools = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(tools, list) or not tools or len(tools) > MAX_TOOLS:
        message = f"Invalid value for '{param}.tools': it is a list of at least one tool."
        raise invalid(message, f"{param}.tools", "invalid_value")
    if allowed.get("mode") not in ("auto", "required"):
        message = f"Invalid value for '{param}.mode': it is 'auto' or 'required'."
        raise invalid(message, f"{param}.mode", "invalid_value")
    chosen = [_place(tool, places, f"{param}.tools[{n}]") for n, tool in enumerate(tools)]
    return tuple(dict.fromkeys(chosen)), allowed["mode"] == "required"


def _place(tool: Any, places: dict[str, int], param: str) -> int:
    """Where `{"type": "function", "function": {"name": …}}` is in the list of tools."""
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    param = f"{param}.function.name"
    if not isinstance(name, str):
        raise invalid(f"Invalid type for '{param}': it must be a string.", param, "invalid_type")
    if name not in places:
        raise invalid(f"'tools' has no function with the name '{name[:64]}'.", param)
    return places[name]


def _constraint(kind: GrammarKind, source: str, param: str, *, lenient: bool = False) -> Constraint:
    try:
        return Constraint(Grammar(kind, source, lenient), param)
    except ValueError as error:
        raise invalid(f"Invalid value for '{param}': {error}.", param, "invalid_value") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
