"""Where a server's grammars are compiled: beside the loop, never in it.

A grammar is first tried in another process (`grammar_trial.py`) and compiled here only when that
was quick. What was refused is remembered like what was accepted, and tenants take turns: one whose
grammars take all of their second delays another by one second at most, or by five where the machine
stands still. What such a machine ended is not remembered.
"""

import asyncio
import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

from inference.engine.grammar import CompiledGrammar, Grammars, NoRoomError
from inference.engine.grammar_trial import Trial
from inference.engine.params import Grammar

logger = logging.getLogger(__name__)

NUM_REFUSALS = 256


class CompilingFailedError(Exception):
    """A grammar was not compiled, for no fault of its own; it may be asked for again."""


class GrammarCompiler:
    """Used on one event loop."""

    def __init__(self, grammars: Grammars) -> None:
        """Compile into `grammars`."""
        self._grammars = grammars
        self._trial = Trial(grammars.vocabulary)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="grammar")
        self._refusals: OrderedDict[Grammar, str] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def compile(self, grammar: Grammar, tenant: str) -> CompiledGrammar:
        """Return the compiled form. ValueError with a sentence when the grammar is refused.

        CompilingFailedError, with a sentence too, when that cannot be known now; NoRoomError while
        sequences hold too much.
        """
        known = self._known(grammar)
        if known is not None:
            return known
        turn = self._turns.setdefault(tenant, asyncio.Lock())
        async with turn:  # of each tenant, one grammar waits for the thread
            known = self._known(grammar)  # another may have asked for the same
            if known is not None:
                return known
            events = asyncio.get_running_loop()
            try:
                return await events.run_in_executor(self._thread, self._try_and_compile, grammar)
            except ValueError as error:
                self._refuse(grammar, str(error))
                raise ValueError(_sentence(str(error))) from None

    def _try_and_compile(self, grammar: Grammar) -> CompiledGrammar:
        try:
            found = self._grammars.find(grammar)
            if found is not None:  # it was tried before
                if found.is_spent:
                    found.renew()
                return found
            self._trial.run(grammar)
            return self._grammars.compile(grammar)
        except (ValueError, NoRoomError):
            raise
        except BaseException as error:  # a panic of the library, written in Rust, is no Exception
            logger.exception("a grammar could not be compiled")
            raise CompilingFailedError("The engine could not compile the grammar.") from error

    def stop(self) -> None:
        """End what is under way."""
        self._trial.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _known(self, grammar: Grammar) -> CompiledGrammar | None:
        reason = self._refusals.get(grammar)
        if reason is not None:
            raise ValueError(_sentence(reason))
        found = self._grammars.find(grammar)
        return None if found is not None and found.is_spent else found

    def _refuse(self, grammar: Grammar, reason: str) -> None:
        self._refusals[grammar] = reason
        if len(self._refusals) > NUM_REFUSALS:
            self._refusals.popitem(last=False)


def _sentence(reason: str) -> str:
    return f"The grammar cannot be used: {reason}."
