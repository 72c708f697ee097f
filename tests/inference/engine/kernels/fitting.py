"""What every kernel holds to on a GPU: it compiles, fits a processor, reads early what it may."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.environment import REPOSITORY
from tests.inference.engine.kernels.compiling import SHARED_KIB

# Numbers that do not fit the registers go through memory. A few in passing are nothing; where it
# was a kernel's own tile it was a thousand.
MOST_STACK = 128
# What kernels may read while the one before them runs: nothing that a kernel writes.
EARLY = {
    "_attend": ["kv_lens", "query_ends", "tile_firsts", "tile_rows"],
    "_combine": ["query_ends", "tile_firsts", "tile_rows"],
    "_row_product": ["weight"],
    "_rotate_and_store": ["positions", "slots"],
}


def check(capability: int, folder: Path) -> None:
    """Compile all for GPUs of this compute capability, with Triton's cache in `folder`."""
    program = "tests.inference.engine.kernels.compiling"
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", program, str(capability)],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    compiled = json.loads(done.stdout)
    names = {each["kernel"].split()[0] for each in compiled}
    assert names == {
        "_attend", "_combine", "_row_product", "_add_rms_norm", "_silu_product",
        "_rotate_and_store", "_survey", "_choose",
    }  # fmt: skip
    room = SHARED_KIB[capability] * 1024
    assert [each for each in compiled if each["shared"] > room] == []
    assert [each for each in compiled if each["stack"] > MOST_STACK] == []
    for each in compiled:
        early = EARLY.get(each["kernel"].split()[0], []) if capability >= 90 else []
        assert each["early"] == early, each["kernel"]
