"""The system fingerprint tells apart what may give other texts for the same seed."""

from typing import Any

import pytest

from inference.engine.wire import engine_pb2 as wire
from inference.generation import fingerprint

INFO: dict[str, Any] = {
    "revision": "0123456789abcdef",
    "engine_version": "1.2",
    "device": "cpu",
    "dtype": "float32",
    "arithmetic": "89abcdef",
}


def test_it_names_all_that_a_text_depends_on() -> None:
    assert fingerprint(wire.EngineInfo(**INFO)) == "fp_0123456789ab_1.2_cpu_float32_89abcdef"


def test_it_is_shorter_where_company_matters() -> None:
    info = wire.EngineInfo(**{**INFO, "device": "cuda:Some GPU", "arithmetic": ""})
    assert fingerprint(info) == "fp_0123456789ab_1.2_cuda_float32"


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "other"},
        {"engine_version": "1.3"},
        {"device": "cuda"},
        {"dtype": "bfloat16"},
        {"arithmetic": "other"},
    ],
    ids=str,
)
def test_each_of_them_changes_it(change: dict[str, str]) -> None:
    assert fingerprint(wire.EngineInfo(**{**INFO, **change})) != fingerprint(
        wire.EngineInfo(**INFO)
    )
