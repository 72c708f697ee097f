"""The C functions of `kernels.c`, compiled on this machine when they are first needed.

A compiler and the processor's own instructions make them several times as fast as the same steps
as PyTorch operators. Without a compiler there are no kernels and the models run as transformers
wrote them. The compiled files are kept in the user's cache, named by what they were made from.
"""

import ctypes
import hashlib
import logging
import os
import platform
import subprocess
from pathlib import Path

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("kernels.c")
LARGEST_HEAD = 256  # MAX_HEAD in the source
# What -ffast-math has, without its promise that there are no NaNs, and without its switching off
# of denormals for the whole process.
FLAGS = (
    "-O3",
    "-march=native",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-fassociative-math",
    "-freciprocal-math",
    "-fPIC",
    "-shared",
)
DTYPES: dict[torch.dtype, tuple[str, ...]] = {torch.float32: (), torch.bfloat16: ("-DBFLOAT16",)}


class Kernels:
    """The functions for one dtype. All tensors contiguous, on the CPU, of that dtype or as said."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Declare the functions of a loaded library."""
        number, pointer, real = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
        self._add_rms_norm = library.add_rms_norm
        self._add_rms_norm.argtypes = [number] * 2 + [pointer] * 3 + [real, pointer]
        self._silu_product = library.silu_product
        self._silu_product.argtypes = [number] * 2 + [pointer] * 2
        self._rotate_and_store = library.rotate_and_store
        self._rotate_and_store.argtypes = [number] * 5 + [pointer] * 7 + [real] + [pointer] * 3
        self._decode_attention = library.decode_attention
        self._decode_attention.argtypes = [number] * 7 + [real] + [pointer] * 8
        for function in vars(self).values():
            function.restype = None

    def add_rms_norm(
        self, x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float
    ) -> Tensor:
        """Add to x (T, H) in place; return the normalised sum."""
        out = torch.empty_like(x)
        self._add_rms_norm(
            *x.shape,
            x.data_ptr(),
            added.data_ptr() if added is not None else None,
            weight.data_ptr(),
            epsilon,
            out.data_ptr(),
        )
        return out

    def silu_product(self, both: Tensor) -> Tensor:
        """Return silu(gate) · up of both (T, 2 F), gate first."""
        out = both.new_empty(both.shape[0], both.shape[1] // 2)
        self._silu_product(*out.shape, both.data_ptr(), out.data_ptr())
        return out

    def rotate_and_store(
        self,
        qkv: Tensor,
        cosines: Tensor,
        sines: Tensor,
        positions: Tensor,
        slots: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        epsilon: float,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Store keys and values of qkv (T, (Hq + 2 Hk) D) in the cache; return queries (T, Hq, D).

        cosines, sines: float32 (positions, half of the rotated part); positions, slots: int64 (T,);
        norms: weights (D,) for queries and keys; keys, values: (blocks, block_size, Hk, D).
        """
        tokens, (_, _, kv_heads, dim) = qkv.shape[0], keys.shape
        heads = qkv.shape[1] // dim - 2 * kv_heads
        queries = qkv.new_empty(tokens, heads, dim)
        query_norm, key_norm = (n.data_ptr() for n in norms) if norms else (None, None)
        self._rotate_and_store(
            tokens,
            heads,
            kv_heads,
            dim,
            cosines.shape[1],
            qkv.data_ptr(),
            cosines.data_ptr(),
            sines.data_ptr(),
            positions.data_ptr(),
            slots.data_ptr(),
            query_norm,
            key_norm,
            epsilon,
            queries.data_ptr(),
            keys.data_ptr(),
            values.data_ptr(),
        )
        return queries

    def decode_attention(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        places: Tensor,
        tables: Tensor,
        lengths: Tensor,
        longest: int,
        scale: float,
        out: Tensor,
    ) -> None:
        """Attend for one token of each row, into out (T, Hq, D).

        queries: (T, Hq, D); keys, values: (blocks, block_size, Hk, D); int64: places (R,) in T,
        tables (R, blocks), lengths (R,), none above `longest`.
        """
        _, block_size, kv_heads, dim = keys.shape
        rows, heads = places.shape[0], queries.shape[1]
        scratch = torch.empty(rows * heads * (longest + 2 * dim), dtype=torch.float32)
        self._decode_attention(
            rows,
            heads,
            kv_heads,
            dim,
            block_size,
            tables.shape[1],
            longest,
            scale,
            places.data_ptr(),
            queries.data_ptr(),
            keys.data_ptr(),
            values.data_ptr(),
            tables.data_ptr(),
            lengths.data_ptr(),
            scratch.data_ptr(),
            out.data_ptr(),
        )


def load_kernels(dtype: torch.dtype) -> Kernels | None:
    """Compile if need be and load. None, and a line in the log, where that is not possible."""
    if dtype not in DTYPES:
        return None
    try:
        return Kernels(ctypes.CDLL(str(_compiled(dtype))))
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("no CPU kernels, so models run slower: %s", error)
        return None


def _compiled(dtype: torch.dtype) -> Path:
    compiler = os.environ.get("CC", "cc")
    version = _run([compiler, "--version"])
    command = [compiler, *FLAGS, *DTYPES[dtype]]
    made_from = [SOURCE.read_bytes(), version, " ".join(command).encode(), _processor()]
    digest = hashlib.sha256(b"\0".join(made_from)).hexdigest()[:16]
    target = _cache_folder() / f"kernels-{digest}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Built beside and renamed: several engines may start at once.
        beside = target.with_suffix(f".{os.getpid()}")
        _run([*command, str(SOURCE), "-o", str(beside)])
        beside.replace(target)
    return target


def _run(command: list[str]) -> bytes:
    # The compiler is the one that the operator's own environment names.
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout  # noqa: S603


def _processor() -> bytes:
    """What -march=native depends on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_bytes().splitlines() if info.exists() else []
    kept = {line for line in lines if line.startswith((b"model name", b"flags", b"Features"))}
    return b"\n".join(sorted(kept)) or platform.processor().encode()


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parlance"
