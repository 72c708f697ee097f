"""The committed protocol code is what the definition generates, and nothing is lost in it."""

import math
from pathlib import Path
from typing import get_args

import pytest

from inference.engine import fake, request
from inference.engine.params import Grammar, GrammarKind, SamplingParams
from inference.engine.plan import Logprobs
from inference.engine.wire import engine_pb2
from inference.engine.wire.generate import WIRE_DIR, generate
from inference.engine.wire.messages import logprobs_to_wire, sampling_from_wire, sampling_to_wire
from inference.engine.wire.methods import METHODS


def test_the_committed_code_is_current(tmp_path: Path) -> None:
    generate(tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_text() == (WIRE_DIR / file.name).read_text(), file.name


def test_the_methods_are_those_of_the_definition() -> None:
    defined = engine_pb2.DESCRIPTOR.services_by_name["Engine"].methods
    assert [
        (each.name, each.request.DESCRIPTOR, each.reply.DESCRIPTOR, each.streams, each.streams)
        for each in METHODS.values()
    ] == [
        (
            each.name, each.input_type, each.output_type,
            each.client_streaming, each.server_streaming,
        )
        for each in defined
    ]  # fmt: skip


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(max_tokens=0),
        SamplingParams(
            max_tokens=7,
            min_tokens=2,
            temperature=0.25,
            top_p=0.5,
            top_k=3,
            min_p=0.125,
            repetition_penalty=1.5,
            presence_penalty=-1.0,
            frequency_penalty=2.0,
            seed=-(2**63),
            stop=("a", "ß"),
            stop_token_ids=(1, 2),
            tool_format="hermes",
            ignore_eos=True,
            logprobs=0,
            prompt_logprobs=20,
            logit_bias=((1, -100.0), (5, 2.5)),
        ),
        *(
            SamplingParams(max_tokens=1, grammar=Grammar(kind, "", lenient=True))
            for kind in get_args(GrammarKind)
        ),
    ],
)
def test_sampling_parameters_survive_the_wire(params: SamplingParams) -> None:
    message = sampling_to_wire(params)
    again = engine_pb2.Sampling.FromString(message.SerializeToString())
    assert sampling_from_wire(again) == params


def test_an_unset_repetition_penalty_is_none() -> None:
    assert sampling_from_wire(engine_pb2.Sampling(max_tokens=1)).repetition_penalty == 1.0


def test_an_absent_logprob_is_nan() -> None:
    entry = logprobs_to_wire(Logprobs(3, None, ((4, -1.0),)), fake.FakeCodec().token_bytes)
    assert math.isnan(entry.logprob)
    assert (entry.token_bytes, entry.top[0].token_bytes) == (b"\x03", b"\x04")


def test_finish_reasons_have_the_numbers_of_the_protocol() -> None:
    for reason in request.FinishReason:
        assert engine_pb2.FinishReason.Value(f"FINISH_{reason.name}") == reason
