"""The benchmark of the GPU's kernels calls them as they are: in small, in Triton's interpreter."""

from collections.abc import Callable, Sequence

import pytest
import torch

import tests.interpreted  # noqa: F401  quicker
from benchmarks import kernels
from inference.engine import spans
from inference.engine.kernels import attention


def once(runs: Sequence[Callable[[], object]]) -> float:
    runs[0]()
    return 1.0


def test_it_runs_from_end_to_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {
        "DEVICE": torch.device("cpu"),
        "DTYPE": torch.float32,  # the interpreter multiplies bfloat16 as if it were integers
        "seconds": once,
        "COUNTS": (1, 3),
        "CONTEXT": 70,
        "LONG_CONTEXT": 90,
        "CHUNK": 20,
        "PROMPTS": ((2, 20),),
        "CUTS": ((32, 8, 2),),
        "REPEATS": 1,
        "HEADS": 4,
        "KV_HEADS": 2,
        "DIM": 16,
        "WIDTH": 64,
        "VOCABULARY": 96,
        "PRODUCTS": {
            "queries, keys and values": (128, 64, True, False),
            "gate and up": (192, 64, True, True),
            "logits": (96, 64, True, False),
        },
    }
    for name, value in small.items():
        monkeypatch.setattr(kernels, name, value)
    monkeypatch.setattr(attention, "WANTED_PROGRAMS", 16)  # they run one after the other
    monkeypatch.setattr(attention, "MOST_PARTS", 4)
    monkeypatch.setattr(attention, "MOST_PARTS_IF_WIDE", 4)
    monkeypatch.setattr(spans, "LONG", 80)
    monkeypatch.setattr(spans, "LONG_IF_WIDE", 80)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "no card")
    kernels.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("no card")
    told = [line.split("  ")[0] for line in lines[1:] if "both ways" not in line]
    apart = [line.split()[-2] for line in lines if "both ways" in line]
    assert len(apart) == 2
    assert max(map(float, apart)) < 1e-5
    assert told == [
        "a product of 128 × 128",
        "a copy",
        *[
            f"a row's {name}{whose}"
            for name in ("queries, keys and values", "gate and up", "logits")
            for whose in ("", ", by cuBLAS", ", rounded")
        ],
        "3 rows' queries, keys and values, by cuBLAS",
        "3 rows' gate and up, by cuBLAS",
        "3 rows' logits, by cuBLAS",
        "3 rows added and normalised",
        "3 rows gated",
        "3 rows rotated and stored",
        "1 rows of 1 see 70 tokens, blocks of 64",
        "3 rows of 1 see 70 tokens, blocks of 64",
        "3 rows of 1 see 70 tokens, blocks of 16",
        "3 rows of 1 see 90 tokens, blocks of 64",
        "3 rows of 1 see 90 tokens, blocks of 64, undivided",
        "2 rows of 20 see 20 tokens, blocks of 64",
        "1 rows of 20 see 90 tokens, blocks of 64",
        "1 rows of 20 see 90 tokens, blocks of 64, undivided",
        "2 rows of 20 see 20 tokens, blocks of 64, cut 32/8/2",
        "drawing for 1 rows",
        "drawing for 1 rows, by PyTorch's operators",
        "drawing for 3 rows",
        "drawing for 3 rows, by PyTorch's operators",
    ]
