"""The kernels compile for GPUs older or smaller than Hopper's, and fit them."""

from pathlib import Path

import pytest

from tests.inference.engine.kernels import fitting

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("capability", [80, 89], ids=["Ampere", "consumer's Ada"])
def test_every_kernel_compiles_and_fits(capability: int, tmp_path: Path) -> None:
    fitting.check(capability, tmp_path)
