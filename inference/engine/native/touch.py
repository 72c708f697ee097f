"""Makes memory real by `touch.c`."""

import ctypes
from collections.abc import Callable

from inference.engine.native.compiler import load_library

SMALL_PAGE_BYTES = 4096

Touch = Callable[[int, int], None]


def native_touch() -> Touch | None:
    """Return what touches so many bytes from an address; None where it cannot be compiled."""
    library = load_library()
    if library is None:
        return None
    touch = library.touch
    touch.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    touch.restype = None
    return lambda address, num_bytes: touch(address, num_bytes, SMALL_PAGE_BYTES)
