"""Which tokens a grammar allows next, for the rows of a step.

Owns how far each sequence has come in its grammar. Its state follows from a row's tokens alone,
and catching up twice changes nothing, so a step may be run again, and a preempted sequence goes on.
Drafts are tried and taken back.
"""

from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher

from inference.engine.grammar import CompiledGrammar, Grammars
from inference.engine.plan import Row

TOO_COMPLEX = "The text's grammar became too complex to follow."
Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Masks:
    """Of G rows with a grammar: which of the step's rows they are, and what each allows."""

    rows: list[int]
    bits: Bits  # (G, bytes): bit i % 8 of byte i // 8 stands for token i
    failures: dict[int, str] = field(default_factory=dict)  # by key; such a row allows nothing


@dataclass(eq=False, slots=True)
class _Progress:
    """A sequence's place in its grammar, after `num_tokens` of its tokens."""

    matcher: LLMatcher
    num_tokens: int
    is_second: bool = False  # begun again, where others of the grammar may be


class GrammarMasks:
    """Masks of the sequences that have a grammar."""

    def __init__(self, grammars: Grammars) -> None:
        """Look grammars up in `grammars`, where whoever submits a sequence has put its own."""
        self._grammars = grammars
        self._num_bytes = -(-grammars.vocabulary.size // 8)
        self._ends = np.zeros(self._num_bytes, dtype=np.uint8)
        for token_id in grammars.vocabulary.ends:
            self._ends[token_id // 8] |= 1 << token_id % 8
        self._by_key: dict[int, _Progress] = {}

    def release(self, keys: tuple[int, ...]) -> None:
        """Forget sequences that ended."""
        for key in keys:
            self._by_key.pop(key, None)

    def of(self, rows: tuple[Row, ...]) -> Masks | None:
        """Return the masks of rows that sample; None when no row has a grammar.

        A row with drafts is followed by one more for each of them, as `batch.py` lays them out.
        """
        constrained = [index for index, row in enumerate(rows) if row.params.grammar is not None]
        if not constrained:
            return None
        masks = Masks(constrained, np.zeros((len(constrained), self._num_bytes), dtype=np.uint8))
        place = 0
        for _, indices in groupby(constrained, key=lambda index: rows[index].key):
            group = [rows[index] for index in indices]
            self._fill(group, masks.bits[place : place + len(group)], masks.failures)
            place += len(group)
        return masks

    def _fill(self, group: list[Row], bits: Bits, failures: dict[int, str]) -> None:
        """Fill in one sequence's masks, up to the first draft that the grammar does not allow."""
        row = group[0]
        before = self._by_key.get(row.key)
        if self._follow(group, bits):
            return
        # Other texts with the grammar may be what was too much. It is begun again where another
        # has begun again already, or else anew: compiling once for each would hold up the loop.
        compiled = self._compiled(row)
        begins = [compiled.start, compiled.start_afresh]
        for begin in begins[1:] if before is not None and before.is_second else begins:
            matcher = begin()
            if matcher is not None:
                self._by_key[row.key] = _Progress(matcher, row.num_prompt_tokens, is_second=True)
                if self._follow(group, bits):
                    return
        failures[row.key] = TOO_COMPLEX

    def _follow(self, group: list[Row], bits: Bits) -> bool:
        """Whether there is a mask for the sequence's next token."""
        row = group[0]
        matcher = self._caught_up(row)
        if matcher is None:
            return False
        num_tried = -1
        for ahead, allowed in zip(group, bits, strict=True):
            if ahead is not row and not matcher.try_consume_tokens([ahead.tokens[-1]]):
                break
            num_tried += 1
            allowed[:] = np.frombuffer(matcher.compute_bitmask(), np.uint8)[: self._num_bytes]
            if matcher.is_error():
                allowed[:] = 0  # it would be the end
                break
            if _holds_off_the_end(ahead):
                others = allowed & ~self._ends
                if others.any():
                    allowed[:] = others
        if not matcher.is_error():
            matcher.rollback(num_tried)
            return True
        del self._by_key[row.key]
        return bool(bits[0].any())  # only a guess was too much

    def _caught_up(self, row: Row) -> LLMatcher | None:
        """Return where a row is; None: begun again, its text became more than can be followed."""
        progress = self._by_key.get(row.key)
        if progress is None:
            progress = _Progress(self._compiled(row).start(), row.num_prompt_tokens)
            self._by_key[row.key] = progress
        new = row.tokens[progress.num_tokens : row.length]
        num_taken = progress.matcher.try_consume_tokens(new)
        if num_taken < len(new) and not progress.matcher.is_error():
            del self._by_key[row.key]
            return None
        progress.num_tokens += len(new)
        return progress.matcher

    def _compiled(self, row: Row) -> CompiledGrammar:
        assert row.params.grammar is not None
        compiled = self._grammars.find(row.params.grammar)
        assert compiled is not None, "a sequence holds its compiled grammar"
        return compiled


def _holds_off_the_end(row: Row) -> bool:
    """Whether the end is refused as long as the grammar allows something else."""
    num_generated = row.length - row.num_prompt_tokens
    return row.params.ignore_eos or num_generated < row.params.min_tokens
