"""Uniform numbers that depend on a seed and a position and on nothing else.

Counter-based: there is no state to carry along, so a sequence samples the same whatever else is in
its batch, and again after it was preempted. The mixing function is SplitMix64's (Steele, Lea and
Flood, 2014).
"""

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(seeds: list[int], positions: list[int]) -> npt.NDArray[np.float64]:
    """Return one number in [0, 1) for each pair."""
    seed = np.array(seeds, dtype=np.int64).view(np.uint64)  # of which nothing is lost
    position = np.array(positions, dtype=np.uint64)
    bits = _mix(_mix(seed + _GOLDEN) + (position + np.uint64(1)) * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
