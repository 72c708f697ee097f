"""Calls are read alike however their text is cut, and text is held back only while undecided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.tool_formats import FORMATS, HERMES, LLAMA
from inference.tool_calls import ArgumentsPart, CallBegun, CallReader, Said

ARGUMENTS = [
    '{"city": "Bern", "of": {"a": ["}", "]\\\\", "\\"{"]}}',
    "{}",
    '{"tags": ["</tool_call>"]}',
]
TEXTS = {
    "hermes": (
        'So: <tool_call>\n{{"name": "get", "arguments": {0}}}\n</tool_call>\n<tool_call>\n'
        '{{"name": "put-it", "arguments": {1}}}\n</tool_call>'
    ),
    "llama": (
        '<|python_tag|>{{"name": "get", "parameters": {0}}}; '
        '{{"name": "put-it", "parameters": {1}}}'
    ),
    "mistral": (
        'So: [TOOL_CALLS] [{{"name": "get", "arguments": {0}}}, '
        '{{"name": "put-it", "arguments": {1}}}]'
    ),
    "mistral-args": "So: [TOOL_CALLS]get[ARGS]{0}[TOOL_CALLS]put-it[ARGS]{1}",
}  # fmt: skip


def read(reader: CallReader, pieces: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """What was said, and the calls with their arguments."""
    said, calls = "", []
    for part in [part for piece in pieces for part in reader.feed(piece)] + reader.flush():
        match part:
            case Said(text):
                assert not calls, "text after a call"
                said += text
            case CallBegun(index, name):
                assert index == len(calls)
                calls.append((name, ""))
            case ArgumentsPart(index, text):
                assert index == len(calls) - 1
                calls[index] = (calls[index][0], calls[index][1] + text)
    return said, calls


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("family", TEXTS)
@given(
    places=st.lists(st.integers(0, 10**6), max_size=40),
    first=st.sampled_from(ARGUMENTS),
    second=st.sampled_from(ARGUMENTS),
    required=st.booleans(),
)
def test_calls_are_read_however_the_text_is_cut(
    family: str, places: list[int], first: str, second: str, required: bool
) -> None:
    text = TEXTS[family].format(first, second)
    if required:
        text = text.removeprefix("So: ")
    reader = CallReader(FORMATS[family], required=required)
    said, calls = read(reader, cut(text, places))
    assert said == ("So: " if text.startswith("So: ") else "")
    assert calls == [("get", first), ("put-it", second)]
    assert reader.ended_well


@given(
    text=st.text(alphabet="ab<tool_cal>{ \n", max_size=40).filter(lambda t: "<tool_call>" not in t),
    places=st.lists(st.integers(0, 100), max_size=10),
)
def test_text_without_a_call_is_text(text: str, places: list[int]) -> None:
    reader = CallReader(HERMES, required=False)
    assert read(reader, cut(text, places)) == (text, [])
    assert not reader.ended_well


@pytest.mark.parametrize("text", ["<", "<|python", "<b>text</b>", " {}", "plain {text}", ""])
def test_a_text_of_llama_that_does_not_begin_with_a_call_is_text(text: str) -> None:
    assert read(CallReader(LLAMA, required=False), list(text)) == (text, [])


@pytest.mark.parametrize("family", FORMATS)
@given(places=st.lists(st.integers(0, 100), max_size=10))
def test_a_text_that_may_be_json_is_a_call_only_from_its_beginning(
    family: str, places: list[int]
) -> None:
    form = FORMATS[family]
    for text in (f'["{form.trigger}"]', '{"name": "get", "parameters": {}}', "7", '"<"'):
        reader = CallReader(form, required=False, beside_json=True)
        assert read(reader, cut(text, places)) == (text, [])
        assert not reader.ended_well
    call = form.trigger + TEXTS[family].format("{}", "{}").partition(form.trigger)[2]
    reader = CallReader(form, required=False, beside_json=True)
    assert read(reader, cut(call, places)) == ("", [("get", "{}"), ("put-it", "{}")])
    assert reader.ended_well


def test_text_is_held_back_only_while_it_may_begin_a_call() -> None:
    reader = CallReader(HERMES, required=False)
    assert reader.feed("see <to") == [Said("see ")]
    assert reader.feed("es") == [Said("<toes")]
    assert reader.feed("<tool_call") == []
    assert reader.flush() == [Said("<tool_call")]
    reader = CallReader(LLAMA, required=False)
    assert reader.feed("<|python") == []
    assert reader.feed("?") == [Said("<|python?")]
    assert reader.feed("<") == [Said("<")]


def test_arguments_come_while_they_are_written() -> None:
    reader = CallReader(HERMES, required=True)
    assert reader.feed('<tool_call>\n{"name": "get", "argu') == []
    assert reader.feed('ments": {"a') == [CallBegun(0, "get"), ArgumentsPart(0, '{"a')]
    assert not reader.ended_well
    assert reader.feed('": 1}') == [ArgumentsPart(0, '": 1}')]
    assert reader.ended_well


def test_a_call_that_was_cut_did_not_end_well() -> None:
    reader = CallReader(HERMES, required=True)
    assert read(reader, ['<tool_call>\n{"name": "ge']) == ("", [])
    assert not reader.ended_well
