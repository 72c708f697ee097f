"""How much of the C library's heap is in use: what the libraries hold that Python does not see."""

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
