"""What an answer has to look like: `response_format`, `structured_outputs`.

Parsed strictly, like everything a stranger sends, into a `Constraint`. The schemas inside are
looked at by the engine alone, which names what it cannot enforce.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from inference.api.bodies import RequestBody
from inference.engine.params import GrammarKind
from inference.errors import invalid
from inference.forms import ANY_OBJECT, any_object, as_text, constraint_of, schema_constraint
from inference.spec import Constraint
from inference.tool_choice import Name


class JsonSchema(RequestBody):
    name: Name
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None

    def constraint(self, place: str) -> Constraint:
        """`place` is the path of this object."""
        return schema_constraint(self.schema_, f"{place}.schema", lenient=not self.strict)


class ResponseFormat(RequestBody):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def ignored_fields(self) -> list[str]:
        found = super().ignored_fields()
        is_in_vain = self.json_schema is not None and self.type != "json_schema"
        return [*found, "json_schema"] if is_in_vain else found

    def constraint(self) -> Constraint | None:
        """Raises ServiceError naming what is missing."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return any_object("response_format")
        param = "response_format.json_schema"
        if self.json_schema is None:
            message = f"Missing required parameter: '{param}'."
            raise invalid(message, param, "missing_required_parameter")
        return self.json_schema.constraint(param)


def _check_schema(value: Any) -> Any:
    if value is not None and not isinstance(value, dict | str):
        raise ValueError("it must be a JSON schema, or the text of one")
    return value


class StructuredOutputs(RequestBody):
    """The extension of vLLM; exactly one of these says what the text has to be."""

    json_: Annotated[
        Any,
        Field(alias="json"),
        AfterValidator(_check_schema),
        WithJsonSchema({"type": ["object", "string", "null"]}),
    ] = None
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
            given.append(("json", "json_schema", as_text(self.json_)))
        if self.regex is not None:
            given.append(("regex", "regex", self.regex))
        if self.choice is not None:
            given.append(("choice", "choices", as_text(self.choice)))
        if self.json_object:
            given.append(("json_object", "json_schema", as_text(ANY_OBJECT)))
        if len(given) != 1:
            message = (
                "'structured_outputs' has exactly one of 'json', 'regex', 'choice' and "
                "'json_object'."
            )
            raise invalid(message, "structured_outputs")
        [(name, kind, source)] = given
        return constraint_of(kind, source, f"structured_outputs.{name}")
