"""Makes Triton's interpreter quicker, for files whose tests run kernels in it (imported for that).

Whenever a kernel calls a function of its own, the interpreter puts its versions of the whole
language in place again, though they have been since the launch: a quarter of the time. Here a
function's module has them put in place at its first call.
"""

from functools import cache
from typing import Any

from triton.runtime import interpreter

_put_in_place = cache(interpreter._patch_lang)


def _call(function: Any, *args: Any, **kwargs: Any) -> Any:
    _put_in_place(function.fn)
    return function.rewrite()(*args, **kwargs)


interpreter.InterpretedFunction.__call__ = _call
