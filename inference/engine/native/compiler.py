"""Compiles this folder's C on the machine that runs it, when it is first needed.

The processor's own instructions make it several times as fast as what could be shipped. The
compiled file is kept in the user's cache, named by what it was made from. Without a compiler there
is none, and the models run as PyTorch operators.
"""

import ctypes
import hashlib
import logging
import os
import platform
import subprocess
from pathlib import Path

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
SOURCES = (FOLDER / "decoder.c", FOLDER / "draw.c", FOLDER / "touch.c")
# Nothing that lets the compiler reorder a sum, or decide where it is rounded.
FLAGS = (
    "-O3",
    "-march=native",
    "-fopenmp",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
    "-shared",
)


def load_library() -> ctypes.CDLL | None:
    """Compile if need be and load. None, and a line in the log, where that is not possible."""
    try:
        return ctypes.CDLL(str(_compiled()))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # RuntimeError: no home
        said = getattr(error, "stderr", None) or b""
        reason = said.decode(errors="replace").strip() or error
        logger.warning("models run slower, as their C code cannot be made and kept: %s", reason)
        return None


def multiplies_bfloats() -> bool:
    """Whether the code was compiled for a processor whose products of bfloat16 are the fastest."""
    library = load_library()
    return library is not None and bool(library.multiplies_bfloats())


def library_name() -> str:
    """Name the compiled file: another source, compiler or processor, another name."""
    return _compiled().stem


def _compiled() -> Path:
    compiler = os.environ.get("CC", "cc")
    version = _run([compiler, "--version"])
    command = [compiler, *FLAGS]
    sources = [file.read_bytes() for file in sorted(FOLDER.glob("*.[ch]"))]
    made_from = [*sources, version, " ".join(command).encode(), _processor()]
    digest = hashlib.sha256(b"\0".join(made_from)).hexdigest()[:16]
    target = _cache_folder() / f"native-{digest}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Built beside and renamed: several engines may start at once.
        beside = target.with_suffix(f".{os.getpid()}")
        _run([*command, *map(str, SOURCES), "-o", str(beside), "-lm"])
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
