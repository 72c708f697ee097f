"""Tools as OpenAI's endpoints write them; see `inference.tool_choice` for what is made of them."""

from collections.abc import Sequence
from typing import Any, Literal

from inference.api.bodies import RequestBody
from inference.spec import Tool, ToolUse
from inference.tool_choice import Name, make_tool, may_be_called, read_choice


class FunctionBody(RequestBody):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def to_tool(self, place: str) -> Tool:
        """`place` is the path of this object."""
        param = f"{place}.parameters"
        lenient = not self.strict
        return make_tool(self.name, self.description, self.parameters, param=param, lenient=lenient)


class ToolBody(RequestBody):
    """A tool of the chat endpoint."""

    type: Literal["function"]
    function: FunctionBody


def read_tools(
    bodies: Sequence[ToolBody], choice: Any, parallel: bool | None
) -> tuple[tuple[Tool, ...], ToolUse | None]:
    """What `may_be_called` says of the chat endpoint's fields."""
    tools = [body.function.to_tool(f"tools[{n}].function") for n, body in enumerate(bodies)]
    return may_be_called(tools, read_choice(choice, parallel, nested=True))
