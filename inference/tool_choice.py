"""Tools of a request and which of them may be called: what every face writes differently, once.

Each face parses its own form into `Tool`s and one `Choice`; `may_be_called` makes of both what the
service takes. The schemas inside are looked at by the engine alone, which names what it cannot
enforce.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from inference.errors import invalid
from inference.spec import Constraint, Tool, ToolUse

MAX_TOOLS = 128
NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


@dataclass(frozen=True, slots=True)
class Named:
    """A tool named by a choice, and the field that names it."""

    name: str
    param: str


@dataclass(frozen=True, slots=True)
class Choice:
    """`names` None: any tool. `parallel` None: several at once where the model was made for it.

    A refusal names the field `param`.
    """

    mode: Literal["none", "auto", "required"]
    parallel: bool | None = None
    names: tuple[Named, ...] | None = None
    param: str = "tool_choice"


def make_tool(
    name: str,
    description: str | None,
    parameters: dict[str, Any] | None,
    *,
    param: str,
    lenient: bool,
) -> Tool:
    """`param` names the field of the schema. Raises ServiceError unless it is of an object."""
    if parameters is None:
        parameters = NO_ARGUMENTS
    if parameters.get("type", "object") != "object":
        message = f"Invalid value for '{param}.type': arguments are always an 'object'."
        raise invalid(message, f"{param}.type", "invalid_value")
    schema = json.dumps({"type": "object"} | parameters, ensure_ascii=False)
    return Tool(name, description or "", schema, lenient, param)


def may_be_called(tools: Sequence[Tool], choice: Choice) -> tuple[tuple[Tool, ...], ToolUse | None]:
    """The tools of a request and how they may be called; none of them when it chooses none.

    Raises ServiceError naming what does not fit together.
    """
    places: dict[str, int] = {}
    for place, tool in enumerate(tools):
        if places.setdefault(tool.name, place) != place:
            beside_schema = tool.param.rpartition(".")[0]
            raise invalid(f"Two tools have the name '{tool.name}'.", f"{beside_schema}.name")
    if choice.mode == "none" or (not tools and choice.mode == "auto" and choice.names is None):
        return (), None
    if choice.names is None:
        if not tools:
            message = f"'{choice.param}' asks for a call, but there are no tools."
            raise invalid(message, choice.param)
        chosen = tuple(places.values())
    else:
        chosen = tuple(dict.fromkeys(_place(named, places) for named in choice.names))
    use = ToolUse(chosen, required=choice.mode == "required", parallel=choice.parallel)
    return tuple(tools), use


def _place(named: Named, places: dict[str, int]) -> int:
    if named.name not in places:
        raise invalid(f"'tools' has no function with the name '{named.name[:64]}'.", named.param)
    return places[named.name]


def form_of_text(constraint: Constraint | None, tool_use: ToolUse | None) -> Constraint | None:
    """What the text has to be; nothing where a call is required, since there is no text then.

    Raises ServiceError for a choice between a call and a text that may begin like one.
    """
    if constraint is None or tool_use is None:
        return constraint
    if tool_use.required:
        return None
    if constraint.grammar.kind != "json_schema":
        message = "Beside 'tools', only JSON can be the form of a text."
        raise invalid(message, "tools")
    return constraint


# --- OpenAI's form ------------------------------------------------------------------------------


def read_choice(
    choice: Any, parallel: bool | None, *, nested: bool, param: str = "tool_choice"
) -> Choice:
    """OpenAI's `tool_choice`. Raises ServiceError naming what is not what it should be.

    `nested`: the chat endpoint's form, with objects inside where `/v1/responses` has none.
    """
    if choice is None or choice == "auto":
        return Choice("auto", parallel, param=param)
    if choice == "none":
        return Choice("none", param=param)
    if choice == "required":
        return Choice("required", parallel, param=param)
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "function":
        named = _named(choice, param, nested)
        return Choice("required", parallel=False, names=(named,), param=param)
    if kind == "allowed_tools":
        if not nested:
            return _allowed(choice, param, parallel, nested)
        inner = choice.get("allowed_tools")
        return _allowed(inner, f"{param}.allowed_tools", parallel, nested)
    message = (
        f"Invalid value for '{param}': it is 'none', 'auto', 'required', or an object of type "
        "'function' or 'allowed_tools'."
    )
    raise invalid(message, param, "invalid_value")


def _allowed(allowed: Any, param: str, parallel: bool | None, nested: bool) -> Choice:
    tools = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(tools, list) or not tools or len(tools) > MAX_TOOLS:
        message = f"Invalid value for '{param}.tools': it is a list of at least one tool."
        raise invalid(message, f"{param}.tools", "invalid_value")
    mode = allowed.get("mode")
    if mode not in ("auto", "required"):
        message = f"Invalid value for '{param}.mode': it is 'auto' or 'required'."
        raise invalid(message, f"{param}.mode", "invalid_value")
    names = tuple(_named(tool, f"{param}.tools[{n}]", nested) for n, tool in enumerate(tools))
    return Choice(mode, parallel, names)


def _named(tool: Any, param: str, nested: bool) -> Named:
    """The tool in `{"type": "function", "name": …}`, or in the nested form of it."""
    if nested:
        tool = tool.get("function") if isinstance(tool, dict) else None
        param = f"{param}.function"
    name = tool.get("name") if isinstance(tool, dict) else None
    param = f"{param}.name"
    if not isinstance(name, str):
        raise invalid(f"Invalid type for '{param}': it must be a string.", param, "invalid_type")
    return Named(name, param)
