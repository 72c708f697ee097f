"""Each family of models writes its calls in its own form, and a random one cannot do otherwise."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from transformers import AutoModelForCausalLM, LlamaConfig

from inference.engine.codec import Chat
from inference.engine.lark import json_rule
from inference.engine.model import HuggingFaceModel
from inference.engine.params import Grammar
from inference.engine.tool_formats import FORMATS, HERMES, ToolFormat, calls_grammar, find_format
from tests.inference.engine.chat_templates import TEMPLATES, make_codec
from tests.inference.engine.checkpoint import TEMPLATE
from tests.inference.engine.rig import Bench
from tests.inference.engine.tiny import _SIZES, make_bench

SCHEMAS: dict[str, Any] = {
    "get_weather": {
        "type": "object",
        "properties": {
            "city": {"enum": ["Bern", "Zürich"]},
            "days": {"$ref": "#/$defs/days"},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
        "$defs": {"days": {"type": "integer", "minimum": 1, "maximum": 9}},
    },
    "get": {"type": "object", "properties": {"key": {"type": "boolean"}}, "required": ["key"],
            "additionalProperties": False},
}  # fmt: skip
RULES = [(name, json_rule(schema)) for name, schema in SCHEMAS.items()]
TOOL = {"type": "function", "function": {"name": "get", "parameters": SCHEMAS["get"]}}


@pytest.mark.parametrize("family", TEMPLATES)
def test_the_template_tells_the_family(family: str) -> None:
    assert find_format(TEMPLATES[family]) is FORMATS[family]
    assert make_codec(TEMPLATES[family]).tool_format is FORMATS[family]


def test_other_templates_belong_to_no_family() -> None:
    assert find_format(TEMPLATE) is None
    assert find_format("<tool_call> arguments, but nothing of the list") is None
    assert find_format(TEMPLATES["hermes"] + "<function=example>") is None
    assert find_format("{% for tool in tools %}a form of its own{% endfor %}") is None


@pytest.mark.parametrize("family", TEMPLATES)
def test_what_the_template_writes_fits_the_grammar(family: str) -> None:
    """The form we force is the one that the model was trained on."""
    form, codec = FORMATS[family], make_codec(TEMPLATES[family])
    call = {"id": "123456789", "type": "function",
            "function": {"name": "get", "arguments": {"key": True}}}  # fmt: skip
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    token_ids = codec.encode_chat(Chat((message,), add_generation_prompt=False, tools=(TOOL,)))
    ended = len(token_ids) - 1
    began = ended - token_ids[:ended][::-1].index(codec.encode_text("\n")[0])
    if family == "hermes":  # has line breaks of its own
        began = len(token_ids) - 1 - token_ids[::-1].index(codec.encode_text("<tool_call>")[0])
    written = b"".join(codec.token_bytes(number) for number in token_ids[began:ended]).decode()
    assert accepts(codec, form, written), written


def accepts(codec: Any, form: ToolFormat, text: str, **how: Any) -> bool:
    asked = {"required": False, "parallel": True, **how}
    bench = bench_of(codec)
    assert bench.grammars is not None
    lark = calls_grammar(form, RULES, **asked)
    matcher = bench.grammars.compile(Grammar("lark", lark)).start()
    token_ids = codec.encode_text(text)
    return matcher.try_consume_tokens(token_ids) == len(token_ids) and matcher.is_accepting()


def bench_of(codec: Any) -> Bench:
    import torch

    torch.manual_seed(1)
    sizes = {**_SIZES, "vocab_size": 272, "eos_token_id": list(codec.eos_token_ids)}
    module = AutoModelForCausalLM.from_config(
        LlamaConfig(**sizes, num_key_value_heads=2), dtype=torch.float32
    )
    return make_bench(HuggingFaceModel(module.eval()), codec=codec, num_blocks=512)


def parse(form: ToolFormat, text: str) -> list[tuple[str, Any]]:
    """Read calls the slow way, independent of the reader that ships."""
    pattern = re.escape(form.head).replace("NAME", "([a-z_]+)")
    return [
        (found[1], json.JSONDecoder().raw_decode(text[found.end() :])[0])
        for found in re.finditer(pattern, text)
    ]


@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("parallel", [False, True])
def test_a_random_model_calls_tools_with_valid_arguments(family: str, parallel: bool) -> None:
    form, codec = FORMATS[family], make_codec(TEMPLATES[family])
    bench = bench_of(codec)
    grammar = Grammar("lark", calls_grammar(form, RULES, required=True, parallel=parallel))
    params: dict[str, Any] = {"max_tokens": 250, "temperature": 1.0, "grammar": grammar}
    outcomes = [bench.submit([n], seed=n, **params) for n in range(6)]
    bench.run()
    finished = [outcome for outcome in outcomes if outcome.finish == "FINISH_STOP"]
    assert len(finished) > 2
    for outcome in finished:
        calls = parse(form, outcome.text)
        assert calls, outcome.text
        assert parallel or len(calls) == 1
        for name, arguments in calls:
            Draft202012Validator(SCHEMAS[name]).validate(arguments)


CALL = '<tool_call>\n{"name": "get", "arguments": {"key": true}}\n</tool_call>'


@pytest.mark.parametrize(
    ("text", "how", "fits"),
    [
        ("no call at all", {}, True),
        ("", {}, True),
        ("", {"required": True}, False),
        ("no call at all", {"required": True}, False),
        (CALL, {"required": True}, True),
        (f"I look it up. {CALL}", {}, True),
        (f"{CALL}\n{CALL}", {}, True),
        (f"{CALL}\n{CALL}", {"parallel": False}, False),
        (f"{CALL} and more", {}, False),
        ("<tool_call>\nnothing", {}, False),
        (CALL.replace("get", "put"), {}, False),
        (CALL.replace("true", "1"), {}, False),
    ],
)
def test_a_text_may_call_as_it_was_asked_to(text: str, how: dict[str, bool], fits: bool) -> None:
    assert accepts(make_codec(TEMPLATES["hermes"]), HERMES, text, **how) is fits


@pytest.mark.parametrize("family", TEMPLATES)
def test_a_text_with_a_form_is_that_or_a_call(family: str) -> None:
    form, codec = FORMATS[family], make_codec(TEMPLATES[family])
    rule = json_rule({"type": "object", "properties": {"name": {"type": "string"}}})
    calls = f'{form.head.replace("NAME", "get")}{{"key": true}}{form.tail}'
    call = {
        "hermes": f"<tool_call>\n{calls}\n</tool_call>", "mistral": f"[TOOL_CALLS] [{calls}]"
    }.get(family, f"{form.trigger}{calls}")  # fmt: skip
    for text, fits in [
        (call, True), ('{"name":"get"}', True), (f'{{"name":"{form.trigger}"}}', True),
        (f'{{"name":"get"}}{call}', False), (f"So: {call}", False), ("no call", False),
        ('{"name":1}', False), ("", False),
    ]:  # fmt: skip
        assert accepts(codec, form, text, json=rule) is fits, text


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"name": "get", "parameters": {"key": true}}', True),
        ('<|python_tag|>{"name": "get", "parameters": {"key": true}}', True),
        ("<b>no call</b>", True),
        ("{no call}", False),
        ("<|python_tag|>no call", False),
    ],
)
def test_a_text_of_llama_is_a_call_from_its_beginning_or_none(text: str, fits: bool) -> None:
    assert accepts(make_codec(TEMPLATES["llama"]), FORMATS["llama"], text) is fits


def test_the_marks_of_a_call_are_text_and_other_special_tokens_are_not() -> None:
    codec = make_codec(TEMPLATES["mistral-args"])
    ids = {text: codec.encode_text(text)[0] for text in ("[TOOL_CALLS]", "[ARGS]", "<|start|>")}
    assert [codec.is_special(number) for number in ids.values()] == [False, False, True]
    assert make_codec(TEMPLATE).is_special(ids["[TOOL_CALLS]"])
