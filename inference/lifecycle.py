"""What an operator does with a model at run time: load it, drain it, unload it.

These verbs write what is wanted; web processes refuse or admit requests accordingly within two
seconds, and the supervisor of the machine that runs the engines (`portal.serving`) starts and ends
them.
"""

import structlog

from inference import catalog
from inference.models import MAX_ENGINES, ModelState, ServedModel

logger = structlog.get_logger(__name__)

TOLD = {
    ModelState.LOADED: "Its engines run, or start within seconds.",
    ModelState.DRAINED: "What runs finishes; new requests are refused with 503 until it is loaded.",
    ModelState.UNLOADED: "What runs finishes, then its engines end and their memory is free.",
}


def want(name: str, state: ModelState, *, num_engines: int | None = None) -> None:
    """Set the wanted state of a model and, if given, the number of its engines.

    With fewer engines than before, the last ones finish what they run and end.
    ValueError: no such model, or a number out of range.
    """
    changes: dict[str, str | int] = {"state": state}
    if num_engines is not None:
        if not 1 <= num_engines <= MAX_ENGINES:
            raise ValueError(f"A model has 1 to {MAX_ENGINES} engines, not {num_engines}.")
        changes["num_engines"] = num_engines
    if not ServedModel.objects.filter(name=name).update(**changes):
        raise ValueError(f"There is no model {name!r}.")
    catalog.forget()
    logger.info("model wanted", model=name, **changes)
