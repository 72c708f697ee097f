"""The kernels compile for the GPUs that most are served on, and fit them, though none is here."""

from pathlib import Path

import pytest

from tests.inference.engine.kernels import fitting

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("capability", [80, 89, 90], ids=["Ampere", "consumer's Ada", "Hopper"])
def test_every_kernel_compiles_and_fits(capability: int, tmp_path: Path) -> None:
    fitting.check(capability, tmp_path)
