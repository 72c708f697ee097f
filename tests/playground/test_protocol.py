"""Reading frames: strict, total, and naming what is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import errors
from inference.spec import ChatPrompt, TextPrompt
from playground import protocol
from playground.parameters import Parameters
from playground.protocol import BadFrame, Cancel, Ping, Run, parse

KINDS = ["run", "cancel", "ping", "auth"]
RUN = {"type": "run", "id": "r1", "model": "m", "messages": [{"role": "user", "content": "hi"}]}

SAID = {"role": "user", "content": ""}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "weather"}}


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "weather", **function}}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from([*Run.model_fields, *Parameters.model_fields, "key", "price"])


def refusal(frame: object) -> BadFrame:
    with pytest.raises(BadFrame) as caught:
        parse(json.dumps(frame))
    return caught.value


def answer(text: str) -> str:
    """The frame's type, or the refusal as it is sent."""
    try:
        return parse(text).type
    except BadFrame as bad:
        return protocol.encode(protocol.error(bad.error, bad.id)).encode().decode()


@given(st.text() | anything.map(json.dumps))
def test_it_answers_any_text_with_a_frame_or_a_refusal(text: str) -> None:
    assert answer(text)


@given(st.sampled_from(KINDS), st.dictionaries(fields, anything, max_size=5))
def test_it_answers_any_fields_of_a_known_type(kind: str, members: dict[str, Any]) -> None:
    assert answer(json.dumps({**RUN, **members, "type": kind}))


def test_it_reads_a_run() -> None:
    frame = parse(
        json.dumps({**RUN, "parameters": {"temperature": 0, "stop": ["\n"], "seed": None}})
    )
    assert isinstance(frame, Run)
    spec = frame.to_spec()
    assert isinstance(spec.prompts[0], ChatPrompt)
    assert spec.sampling.temperature == 0
    assert spec.sampling.stop == ("\n",)
    assert spec.max_tokens is None
    assert spec.face == "playground"
    assert spec.stream


def test_it_reads_a_completion() -> None:
    frame = parse(json.dumps({**RUN, "messages": None, "prompt": "Once"}))
    assert isinstance(frame, Run)
    assert frame.to_spec().prompts == (TextPrompt("Once"),)
    assert frame.to_spec().endpoint == "completions"
    assert frame.to_spec().max_tokens == frame.to_spec().sampling.max_tokens == 16


def test_it_reads_the_small_frames() -> None:
    assert isinstance(parse('{"type": "ping"}'), Ping)
    assert isinstance(parse('{"type": "cancel", "id": "r1"}'), Cancel)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"price": 0}, "price"),
        ({"organisation": "org_2"}, "organisation"),
        ({"multiplier_bp": 0}, "multiplier_bp"),
        ({"user_id": 1}, "user_id"),
        ({"request_id": "req_1"}, "request_id"),
        ({"id": ""}, "id"),
        ({"id": "a b"}, "id"),
        ({"id": 7}, "id"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"prompt": "both"}, "messages"),
        ({"messages": [{"role": "function", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].tool_call_id"),
        ({"messages": [{**SAID, "tool_call_id": "c"}]}, "messages[0].tool_call_id"),
        ({"messages": [{**SAID, "tool_calls": [CALL]}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [1]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "", "cost": 1}]}, "messages[0].cost"),
        ({"parameters": {"temperature": 2.1}}, "parameters.temperature"),
        ({"parameters": {"temperature": "1"}}, "parameters.temperature"),
        ({"parameters": {"top_p": -0.1}}, "parameters.top_p"),
        ({"parameters": {"top_k": True}}, "parameters.top_k"),
        ({"parameters": {"min_p": 1.1}}, "parameters.min_p"),
        ({"parameters": {"max_tokens": 0}}, "parameters.max_tokens"),
        ({"parameters": {"stop": ["a"] * 5}}, "parameters.stop"),
        ({"parameters": {"stop": [""]}}, "parameters.stop[0]"),
        ({"parameters": {"stop": ["a" * 257]}}, "parameters.stop[0]"),
        ({"parameters": {"seed": 2**63}}, "parameters.seed"),
        ({"parameters": {"repetition_penalty": 0}}, "parameters.repetition_penalty"),
        ({"parameters": {"presence_penalty": 3}}, "parameters.presence_penalty"),
        ({"parameters": {"frequency_penalty": -3}}, "parameters.frequency_penalty"),
        ({"parameters": {"n": 4}}, "parameters.n"),
        ({"conversation": "../x"}, "conversation"),
    ],
)
def test_it_names_the_field_that_is_wrong(change: dict[str, Any], param: str) -> None:
    bad = refusal({**RUN, **change})
    assert bad.error.param == param
    assert bad.error.status == 400


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"logprobs": 1}, "parameters.logprobs"),
        ({"top_logprobs": 3}, "parameters.top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "parameters.top_logprobs"),
        ({"response_format": {"type": "xml"}}, "parameters.response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "parameters.response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "parameters.response_format.json_schema.name",
        ),
        ({"tools": [{**TOOL, "price": 1}]}, "parameters.tools[0].price"),
        ({"tools": [TOOL, TOOL]}, "parameters.tools[1].function.name"),
        ({"tools": [tool(name="a b")]}, "parameters.tools[0].function.name"),
        (
            {"tools": [tool(parameters={"type": "string"})]},
            "parameters.tools[0].function.parameters.type",
        ),
        ({"tools": [TOOL], "tool_choice": "maybe"}, "parameters.tool_choice"),
        ({"tool_choice": "required"}, "parameters.tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "parameters.tool_choice.function.name",
        ),
    ],
)
def test_it_names_the_parameter_that_is_wrong(parameters: dict[str, Any], param: str) -> None:
    bad = refusal({**RUN, "parameters": parameters})
    assert (bad.error.param, bad.error.status, bad.id) == (param, 400, "r1")


def test_a_prompt_has_what_the_endpoint_for_prompts_has() -> None:
    prompt = {**RUN, "messages": None, "prompt": "a"}
    assert refusal({**prompt, "parameters": {"tools": [TOOL]}}).error.param == "parameters.tools"
    many = {"logprobs": True, "top_logprobs": 6}
    assert refusal({**prompt, "parameters": many}).error.param == "parameters.top_logprobs"


@pytest.mark.parametrize("kind", [None, "", "RUN", "delete", 1, ["run"], {"run": 1}])
def test_it_refuses_unknown_types(kind: object) -> None:
    bad = refusal({"type": kind, "id": "r1"})
    assert bad.error.code == "unknown_type"
    assert bad.id == "r1"


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "{", '{"type": NaN}', '{"a":1,"a":2}', '"\\ud800"']
)
def test_it_refuses_what_is_no_plain_object(text: str) -> None:
    with pytest.raises(BadFrame):
        parse(text)


def test_it_refuses_large_frames_before_reading_them() -> None:
    with pytest.raises(BadFrame) as caught:
        parse('{"type": "' + "é" * (protocol.MAX_FRAME_BYTES // 2) + '"}')
    assert caught.value.error.code == "frame_too_large"


def test_a_refusal_does_not_repeat_a_long_value() -> None:
    bad = refusal({**RUN, "model": "x" * 10_000, "a" * 10_000: 1})
    assert len(protocol.encode(protocol.error(bad.error, bad.id))) < 2_000


def test_who_is_refused_for_a_while_is_told_for_how_long() -> None:
    told = protocol.error(errors.overloaded("Later.", 1.5), "r1")["error"]
    assert (told["status"], told["code"], told["retry_after_ms"]) == (503, "overloaded", 1500)
    assert "retry_after_ms" not in protocol.error(errors.access_withdrawn())["error"]
