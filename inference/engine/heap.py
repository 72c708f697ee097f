"""The C library's heap: how much of it is in use, and giving back what is free.

Most of it is what libraries hold that Python does not see.
"""

import ctypes


class _Mallinfo2(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def used_bytes() -> int:
    """Return it, in a millisecond or so; 0 where the C library (not GNU's) does not tell."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return 0
    ask.restype = _Mallinfo2
    info = ask()
    return int(info.uordblks + info.hblkhd)


def give_back() -> None:
    """Give free memory back to the system, which the C library keeps for who may ask again.

    After loading that is most of a model's size: its weights as they were before they were packed.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
