"""What the page says about a parameter is what the protocol holds to."""

import json

import pytest

from playground import protocol
from playground.controls import PARAMETERS, Parameter
from playground.parameters import Parameters
from tests.playground.conftest import run


def accepts(name: str, value: object) -> bool:
    try:
        protocol.parse(json.dumps(run(parameters={name: value})))
    except protocol.BadFrame as bad:
        return bad.error.param != f"parameters.{name}"
    return True


def test_the_page_has_every_parameter() -> None:
    assert [parameter.name for parameter in PARAMETERS if parameter.label] == [
        "temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "presence_penalty",
        "frequency_penalty", "repetition_penalty", "seed",
    ]  # fmt: skip
    with_editors = {"logprobs", "top_logprobs", "response_format", "tools", "tool_choice"}
    sliders = {parameter.name for parameter in PARAMETERS}
    assert sliders | with_editors == set(Parameters.model_fields)


@pytest.mark.parametrize(
    "parameter", [p for p in PARAMETERS if p.kind != "lines"], ids=lambda p: p.name
)
def test_the_range_on_the_page_is_the_range_that_is_accepted(parameter: Parameter) -> None:
    read = int if parameter.kind == "integer" else float
    low, high = read(parameter.low), read(parameter.high)
    assert accepts(parameter.name, low)
    assert accepts(parameter.name, high)
    assert not accepts(parameter.name, high + 1)
    assert not accepts(parameter.name, low - 1)


def test_what_stands_on_the_page_at_first_is_what_leaving_it_out_means() -> None:
    defaults = Parameters()
    for parameter in PARAMETERS:
        default = getattr(defaults, parameter.name)
        shown = parameter.default
        assert (default in (None, []) and shown == "") or float(shown) == default
