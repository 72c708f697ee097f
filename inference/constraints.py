"""Grammars of requests: made here, checked and compiled by the engine before anything is held.

A refusal names the place that is at fault: the schema of one tool, or the keyword in a schema.
"""

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from inference import errors
from inference.engine.lark import json_rule
from inference.engine.params import Grammar, GrammarKind
from inference.engine.schemas import InexactNumberError, check_numbers, find_keyword
from inference.engine.tool_formats import calls_grammar
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire.messages import grammar_to_wire
from inference.errors import ServiceError
from inference.generation import queue_full
from inference.spec import ChatPrompt, GenerationSpec, Tool, ToolUse
from inference.tool_prompts import calls_several, format_of
from portal.lib.strict_json import spell_path

if TYPE_CHECKING:
    from inference.client import EngineLink

_UNENFORCEABLE = re.compile(r"cannot be enforced: '([^']+)'")


async def prepare_grammar(spec: GenerationSpec, link: "EngineLink", tenant: str) -> Grammar:
    """The grammar of a request that has a constraint, tools, or both, compiled by the engine.

    Raises ServiceError: 400 naming the field, 503 when the engine has no room or does not answer.
    """
    text = None if spec.constraint is None else spec.constraint.grammar
    if spec.constraint is not None:
        refusal = await _refusal(spec.constraint.grammar, link, tenant)
        if refusal:
            raise _invalid(refusal, spec.constraint.grammar, spec.constraint.param)
        if spec.tool_use is None:
            return spec.constraint.grammar
    [prompt] = spec.prompts
    assert spec.tool_use is not None
    assert isinstance(prompt, ChatPrompt)
    grammar = _grammar_of_calls(prompt.tools, spec.tool_use, link, text)
    refusal = await _refusal(grammar, link, tenant)
    if refusal:
        raise await _refused_tools(prompt.tools, spec.tool_use, refusal, link, tenant)
    return grammar


def with_grammar(spec: GenerationSpec, grammar: Grammar, link: "EngineLink") -> GenerationSpec:
    """The request with its compiled grammar, and the form in which this model calls tools."""
    assert link.info is not None
    sampling = replace(spec.sampling, grammar=grammar)
    if spec.tool_use is not None:
        sampling = replace(sampling, tool_format=format_of(link.info.tool_format).name)
        if spec.tool_use.required:  # calls are all there is, and no token ends a call
            sampling = replace(sampling, stop_token_ids=())
    return replace(spec, sampling=sampling)


def _grammar_of_calls(
    tools: tuple[Tool, ...], use: ToolUse, link: "EngineLink", text: Grammar | None
) -> Grammar:
    """`text`: of what is said instead of a call, where it has a form."""
    assert link.info is not None
    family = link.info.tool_format
    chosen = [tools[place] for place in use.places]
    rules = [(tool.name, _rule_of(tool)) for tool in chosen]
    parallel = calls_several(family) if use.parallel is None else use.parallel
    json_text = None
    if text is not None:
        json_text = json_rule(json.loads(text.source), lenient=text.lenient)
    lark = calls_grammar(
        format_of(family), rules, required=use.required, parallel=parallel, json=json_text
    )
    return _checked("lark", lark, "tools")


def _rule_of(tool: Tool) -> str:
    try:
        return json_rule(json.loads(tool.parameters), lenient=tool.lenient)
    except InexactNumberError as error:
        message = f"'{tool.param}' cannot be used: {error}."
        raise errors.invalid(
            message, spell_path((tool.param, *error.steps)), "invalid_value"
        ) from None


def _checked(kind: GrammarKind, source: str, param: str, *, lenient: bool = False) -> Grammar:
    try:
        return Grammar(kind, source, lenient)
    except ValueError as error:
        raise errors.invalid(f"{str(error).capitalize()}.", param) from None


async def _refused_tools(
    tools: tuple[Tool, ...], use: ToolUse, refusal: str, link: "EngineLink", tenant: str
) -> ServiceError:
    """Find the tool whose arguments cannot be followed by themselves, if there is one."""
    for place in use.places:
        tool = tools[place]
        grammar = _checked("json_schema", tool.parameters, tool.param, lenient=tool.lenient)
        own_refusal = await _refusal(grammar, link, tenant)
        if own_refusal:
            return _invalid(own_refusal, grammar, tool.param)
    return _invalid(refusal, grammar, "tools")


async def _refusal(grammar: Grammar, link: "EngineLink", tenant: str) -> str:
    """What the engine has against a grammar; nothing when it is compiled."""
    request = wire.CheckGrammarRequest(tenant=tenant, grammar=grammar_to_wire(grammar))
    try:
        await link.check_grammar(request)
    except link.FULL as full:
        raise queue_full(full.retry_after_ms) from None
    except link.REFUSED as refusal:
        return str(refusal)
    except link.UNAVAILABLE:
        raise errors.engine_silent() from None
    return ""


def _invalid(refusal: str, grammar: Grammar, param: str) -> ServiceError:
    message = refusal.replace("The grammar", f"'{param}'", 1)
    return errors.invalid(message, _place_of_fault(grammar, param, refusal), "invalid_value")


def _place_of_fault(grammar: Grammar, param: str, refusal: str) -> str:
    """The path of the keyword or the number that a refusal names, if it is found in the schema."""
    if grammar.kind != "json_schema":
        return param
    named = _UNENFORCEABLE.search(refusal)
    try:
        schema = json.loads(grammar.source)
        check_numbers(schema)
        steps = find_keyword(schema, named[1]) if named is not None else None
    except InexactNumberError as error:
        steps = error.steps
    except (ValueError, RecursionError):  # it is not JSON
        steps = None
    return spell_path((param, *(steps or ())))
