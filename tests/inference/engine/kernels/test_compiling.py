"""The kernels compile for the GPUs that most will be served on, and fit them, though none is here.

Other kinds take as long again, and are compiled in `tests/conformance`.
"""

from pathlib import Path

from tests.inference.engine.kernels import fitting


def test_every_kernel_compiles_and_fits_hopper(tmp_path: Path) -> None:
    fitting.check(90, tmp_path)
