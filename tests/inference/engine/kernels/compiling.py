"""Compiles the kernels for a GPU that is not there: `python -m … 90` (its compute capability).

They are launched as ever, with the shapes of models, but Triton's driver is a stand-in that names
the GPU, and a launch ends when its kernel is compiled. Prints a JSON list of what each kernel takes
of a processor, and reads before its inputs are there. In a process of its own, since Triton is
otherwise told to interpret them.
"""

import json
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from inference.engine.kernels import attention, launch
from inference.engine.kernels.draw import triton_draw
from inference.engine.kernels.layer import TritonOperations
from inference.engine.kernels.row import row_product
from inference.engine.kv_cache import KVCache, LayerShape
from inference.engine.spans import LONG, Spans, deal

CPU = torch.device("cpu")
SHARED_KIB = {80: 163, 89: 99, 90: 227, 120: 99}  # of a program, as NVIDIA's guide says
PAGE = 64
# Of models as they are: heads, heads of keys, numbers of a head.
SHAPES = [(32, 8, 128), (7, 1, 64), (4, 4, 256)]


class Target:
    """What Triton asks its driver before it compiles."""

    def __init__(self, capability: int) -> None:
        self._target = GPUTarget("cuda", capability, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return self._target


def compile_all(capability: int) -> list[dict[str, Any]]:
    """Launch everything once; return what was compiled."""
    compiled: dict[int, tuple[str, Any]] = {}
    run = JITFunction.run

    def compile_only(function: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernel = run(function, *args, grid=grid, warmup=True, **options)
        compiled[id(kernel)] = (f"{function.__name__} {args[0].dtype} {options}", kernel)
        return kernel

    driver.set_active(Target(capability))
    JITFunction.run = compile_only
    launch.can_start_early = lambda device: capability >= 90
    attention.shared_bytes = lambda device: SHARED_KIB[capability] * 1024
    for dtype in (torch.bfloat16, torch.float32):
        for shape in SHAPES:
            attend(*shape, dtype, counts=[1, 200])  # few rows, whose keys are divided
            attend(*shape, dtype, counts=[3, 200], past=LONG)  # for themselves, divided
        attend(*SHAPES[0], dtype, counts=[1] * 300)
        work_on_layers(dtype)
    return [
        {
            "kernel": name,
            "shared": kernel.metadata.shared,
            "stack": stack_of(kernel),
            "early": touched_early(kernel),
        }
        for name, kernel in compiled.values()
    ]


def stack_of(kernel: Any) -> int:
    """Bytes of each thread for what its registers cannot hold."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [str(tool), "-res-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"STACK:(\d+)", said)
    assert found, said
    return int(found[1])


def touched_early(kernel: Any) -> list[str]:
    """Through which of its tensors a kernel goes before it waits for the one before it.

    Its code up to there has no loops, so each register's tensors are those of what it is made of.
    """
    before, waits, _ = kernel.asm["ptx"].partition("griddepcontrol.wait")
    if not waits:
        return []
    kinds = kernel.src.signature
    names = [name for name, kind in kinds.items() if kind != "constexpr"]
    made_of: dict[str, set[str]] = {}
    touched: set[str] = set()
    for line in before.splitlines():
        parameter = re.search(r"ld\.param\S+\s+(%\w+), \[\w+_param_(\d+)\]", line)
        if parameter:
            made_of[parameter[1]] = {names[int(parameter[2])]}
            continue
        registers = re.findall(r"%r[sd]?\d+", re.sub(r"@!?%p\d+", "", line))
        addresses = re.findall(r"%r[sd]?\d+", "".join(re.findall(r"\[[^\]]*\]", line)))
        if re.search(r"\b(ld|st|atom|red)\.global|cp\.async", line):
            touched |= set().union(*(made_of.get(register, set()) for register in addresses))
        whole: set[str] = set().union(*(made_of.get(register, set()) for register in registers))
        results = registers if "{" in line else registers[:1]
        made_of |= dict.fromkeys([one for one in results if one not in addresses], whole)
    return sorted(name for name in touched if kinds[name].startswith("*"))


def attend(
    heads: int, kv_heads: int, dim: int, dtype: torch.dtype, *, counts: list[int], past: int = 1
) -> None:
    """Rows of `counts` tokens that look back on some more."""
    lengths = [past + count for count in counts]
    needed = [-(-length // PAGE) for length in lengths]
    cache = KVCache([LayerShape(kv_heads, dim, dim)], sum(needed), PAGE, dtype, CPU)
    tables = torch.zeros(len(counts), max(needed), dtype=torch.int32)
    ends = torch.tensor([0, *np.cumsum(counts).tolist()], dtype=torch.int32)
    spans = Spans(tables, torch.tensor(lengths, dtype=torch.int32), ends)
    slots = torch.zeros(0, dtype=torch.int64)
    dealer = partial(deal, np.array(counts), np.array(lengths), CPU)
    query = torch.zeros(sum(counts), heads, dim, dtype=dtype)
    attention.TritonAttention(cache, slots, spans, dealer).attend(0, query, 0.1)


def work_on_layers(dtype: torch.dtype) -> None:
    """What stands between attentions, for one row and for several, and drawing."""
    width, heads, kv_heads, dim = 4096, 32, 8, 128
    rows, norm = torch.zeros(5, width, dtype=dtype), torch.zeros(width, dtype=dtype)
    weight, bias = torch.zeros(64, width, dtype=dtype), torch.zeros(64, dtype=dtype)
    row = rows[:1]
    row_product(row, row, norm, 1e-5, weight, bias)
    row_product(row, row, norm, 1e-5, weight, None, gated=True)
    row_product(row, None, None, 0.0, weight, None)
    values, scales = weight.to(torch.int8), torch.ones(len(weight))
    row_product(row, row, norm, 1e-5, values, None, scales=scales)
    row_product(row, row, norm, 1e-5, values, None, scales=scales, gated=True)
    steps = TritonOperations()
    steps.add_rms_norm(rows, rows, norm, 1e-5)
    steps.add_rms_norm(rows, None, norm, 1e-5)
    steps.silu_product(rows)
    qkv = torch.zeros(5, (heads + 2 * kv_heads) * dim, dtype=dtype)
    angles, places = torch.zeros(9, dim // 2), torch.zeros(5, dtype=torch.int64)
    cache = torch.zeros(2, PAGE, kv_heads, dim, dtype=dtype)
    for norms in (None, (norm[:dim], norm[:dim])):
        steps.rotate_and_store(qkv, angles, angles, places, places, norms, 1e-5, cache, cache)
    triton_draw(torch.zeros(3, 128_256, dtype=dtype), [1.0, 0.0, 1.0], np.zeros(3))


if __name__ == "__main__":
    print(json.dumps(compile_all(int(sys.argv[1]))))
