"""How much memory an engine may take, beside the others of its machine."""

import json
import math
import os
from pathlib import Path
from typing import Any

import torch

from inference.engine import cgroups

CPU_FRACTION = 0.25
CUDA_FRACTION = 0.85
CUDA_FREE_FRACTION = 0.95  # of what other engines left; the rest is for what a step allocates
HEADER_BYTES = 8
WEIGHTS = "model.safetensors"


def cache_room(device: torch.device, fraction: float | None, shares: int) -> int:
    """Return the bytes that the cache of a loaded model may take.

    On CUDA the fraction is of the whole device, and the weights are part of it; on CPU it is of
    what is free, which the weights no longer are. Engines that share a machine get equal parts.
    """
    if device.type != "cuda":
        return int(free_memory() * (fraction or CPU_FRACTION) / shares)
    free, total = torch.cuda.mem_get_info(device)
    part = int(total * (fraction or CUDA_FRACTION) / shares)
    return min(part - torch.cuda.memory_reserved(device), int(free * CUDA_FREE_FRACTION))


def check_weights_fit(
    path: str, device: torch.device, dtype: torch.dtype, *, parts: int = 1, int8: bool = False
) -> None:
    """Raise ValueError when there is no room for a folder's weights; a Hub id is not looked up.

    Weights go through the machine's memory, also on their way to a GPU and before they are rounded
    to `int8`; those that are divided into `parts`, one for each GPU, go there piece by piece.
    """
    count = num_weights_in(Path(path))
    on_gpus = device.type == "cuda"
    name = str(dtype).removeprefix("torch.")
    if not (on_gpus and parts > 1):
        _check_fits("The weights take", count * dtype.itemsize, name, "this machine", free_memory())
    if on_gpus:
        # Of a rounded model some are not, but most: what cannot fit is to be refused, not what may.
        itemsize, name = (1, "int8") if int8 else (dtype.itemsize, name)
        whose = "The weights take" if parts == 1 else "Each GPU's part of the weights takes"
        free = torch.cuda.mem_get_info(device)[0]
        _check_fits(whose, count * itemsize // parts, name, "the GPU", free)


def _check_fits(whose: str, needed: int, name: str, place: str, free: int) -> None:
    if needed > free:
        raise ValueError(
            f"{whose} {_gigabytes(needed)} as {name}, and {_gigabytes(free)} of the memory of "
            f"{place} is free; unload another model."
        )


def num_weights_in(folder: Path) -> int:
    """Count the numbers in the safetensors files that a folder's model is loaded from."""
    total = 0
    for file in _weight_files(folder):
        header = _header(file)
        total += sum(math.prod(entry["shape"]) for entry in header.values())
    return total


def _weight_files(folder: Path) -> list[Path]:
    """Return what transformers reads. Others may lie beside it: Mistral's are there twice.

    ValueError when one is not there.
    """
    whole, index = folder / WEIGHTS, folder / f"{WEIGHTS}.index.json"
    if whole.exists() or not index.exists():
        return [whole] if whole.exists() else []
    names: set[str] = set(json.loads(index.read_text())["weight_map"].values())
    for name in sorted(names):
        if not (folder / name).exists():
            raise ValueError(f"{name} is missing, a part of the weights; download it again.")
    return [folder / name for name in names]


def _header(file: Path) -> dict[str, Any]:
    """Return what a safetensors file says of each tensor.

    ValueError when the file is not whole: a download that broke off, or Git LFS's stand-in.
    """
    size = file.stat().st_size
    with file.open("rb") as content:
        length = int.from_bytes(content.read(HEADER_BYTES), "little")
        begin = HEADER_BYTES + length
        header: dict[str, Any] = json.loads(content.read(length)) if begin <= size else {}
    header.pop("__metadata__", None)
    if not header or begin + max(entry["data_offsets"][1] for entry in header.values()) > size:
        raise ValueError(f"{file.name} is not a whole file of weights; download it again.")
    return header


def free_memory() -> int:
    """Return the bytes of memory that can be had here without swapping."""
    return int(min(_free_memory_of_machine(), cgroups.memory_left()))


def _free_memory_of_machine() -> int:
    info = Path("/proc/meminfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _gigabytes(number: int) -> str:
    return f"{number / 2**30:,.1f} GiB"
