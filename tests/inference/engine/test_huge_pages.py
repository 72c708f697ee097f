"""Large pages: the same numbers, and real memory only for what is written."""

import mmap

import pytest
import torch

from inference.engine import huge_pages
from tests.memory import resident_mib


@pytest.mark.parametrize("size", [(3, 5), (1 << 21, 3)], ids=["small", "large"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_reads_as_zeros_and_keeps_what_is_written(
    size: tuple[int, ...], dtype: torch.dtype
) -> None:
    tensor = huge_pages.empty(size, dtype)
    assert (tensor.shape, tensor.dtype) == (size, dtype)
    assert not tensor.any()
    tensor[-1] = 3
    assert tensor.sum() == 3 * size[1]


def test_a_copy_is_another_tensor_with_the_same_numbers() -> None:
    tensor = torch.arange(3 << 20, dtype=torch.float32).view(3, -1).t()
    copy = huge_pages.copied(tensor)
    assert torch.equal(copy, tensor)
    assert copy.is_contiguous()
    copy.zero_()
    assert tensor.any()


def test_what_is_not_written_takes_no_memory() -> None:
    before = resident_mib()
    tensor = huge_pages.empty((256 << 20,), torch.float32)  # a gigabyte
    assert resident_mib() - before < 100
    tensor[: 64 << 20] = 1
    assert 200 < resident_mib() - before < 400


def test_a_system_without_large_pages_gives_ordinary_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 9999)  # EINVAL
    assert not huge_pages.empty((1 << 20, 3), torch.float32).any()
