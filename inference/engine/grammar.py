"""Grammars compiled against a model's vocabulary, by llguidance.

The one module that knows the library. Its parsers compute the mask of allowed tokens lazily, step
by step, so compiling is quick, and each step is bounded by limits given here. A grammar may come
from a stranger: `grammar_compiler.py` lets one compile here only after it was tried elsewhere.
"""

import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, regex_to_lark

from inference.engine import heap
from inference.engine.codec import Codec
from inference.engine.lark import json_rule, literal
from inference.engine.params import Grammar

# Where only one character can follow, the library would force the tokens that a tokenizer makes of
# it. Without that a model may spell a text with any tokens, and no tokenizer has to be asked.
HEAD = '%llguidance {"no_forcing": true}\n'
NUM_KEPT = 64  # compiled grammars that no sequence uses
# By what the heap may grow until those are let go: texts can make 50 MiB of one.
KEPT_BYTES = 512 << 20
# By what it may grow until no more are compiled, where sequences hold as many as would be kept.
HELD_BYTES = 2 << 30
STEP_FUEL = 100_000  # of the lexer: about 10 ms
MAX_SYMBOLS = 100_000
MAX_LEXER_STATES = 50_000  # about a kilobyte each
RENEWAL_S = 0.05  # that compiling once more may take: the loop waits for it
MAX_SENTENCE_CHARS = 200
# What messages of the library begin with: a place in our text, and words we know better ones for.
WHERE = re.compile(r"at \d+\(\d+\): (failed to compile JSON schema: )?")
UNKNOWN_KEYWORDS = "Unimplemented keys: ["


class NoRoomError(Exception):
    """Sequences hold so much that no grammar more is compiled at the moment."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What each token of a model spells. Ids from `len(tokens)` on spell nothing."""

    tokens: tuple[bytes, ...]
    special: tuple[int, ...]  # never part of a text
    ends: tuple[int, ...]
    size: int  # of the model's logits


def read_vocabulary(codec: Codec, size: int) -> Vocabulary:
    """Ask a codec for every token of a model with logits for `size` of them.

    What ends a text is no part of it, even where the tokenizer does not call it special.
    """
    ids = range(size)
    ends = tuple(token_id for token_id in codec.eos_token_ids if token_id < size)
    return Vocabulary(
        tokens=tuple(codec.token_bytes(token_id) for token_id in ids),
        special=tuple(number for number in ids if codec.is_special(number) or number in ends),
        ends=ends,
        size=size,
    )


class CompiledGrammar:
    """A grammar that was accepted.

    Its matchers share what texts have made of it: each finds the states that another has come to,
    and all have come to too many when one has.
    """

    def __init__(self, make: Callable[[], LLMatcher]) -> None:
        """Keep a matcher that stands at the beginning, and how it is made."""
        began = time.perf_counter()
        self._make, self._matcher = make, make()
        self._soon_made = time.perf_counter() - began <= RENEWAL_S
        self.is_spent = False  # what texts have made of it is too much for the next one

    def start(self) -> LLMatcher:
        """Return a matcher of its own for one sequence."""
        return self._matcher.deep_copy()

    def start_afresh(self) -> LLMatcher | None:
        """Return one that knows of no text so far, nor do those after it.

        None when that takes too long for a text under way; who comes next may `renew`.
        """
        if not self._soon_made:
            self.is_spent = True
            return None
        self.renew()
        return self.start()

    def renew(self) -> None:
        """Let go what texts have made of it, as long as that takes."""
        self._matcher, self.is_spent = self._make(), False

    @property
    def error(self) -> str:
        """Why it cannot be followed; "" if it can."""
        return self._matcher.get_error() if self._matcher.is_error() else ""


class Grammars:
    """A model's vocabulary in the library's form, and the grammars compiled for it.

    A grammar stays as long as somebody holds it, and the latest ones longer, as far as their size
    allows. Any thread may call.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Read the vocabulary; half a second when it is large."""
        self.vocabulary = vocabulary
        self._tokenizer: LLTokenizer | None = None
        if vocabulary.ends:
            self._tokenizer = LLTokenizer(
                _LibraryVocabulary(vocabulary),  # type: ignore[arg-type]  # used by its attributes
                n_vocab=vocabulary.size,
                eos_token=list(vocabulary.ends),
            )
        self._lock = threading.Lock()
        self._alive: WeakValueDictionary[Grammar, CompiledGrammar] = WeakValueDictionary()
        self._latest: OrderedDict[Grammar, CompiledGrammar] = OrderedDict()
        self._heap_bytes = heap.used_bytes()  # without any of them

    def find(self, grammar: Grammar) -> CompiledGrammar | None:
        """Return the compiled form if there is one."""
        with self._lock:
            found = self._alive.get(grammar)
            if found is not None:
                self._keep(grammar, found)
            return found

    def compile(self, grammar: Grammar) -> CompiledGrammar:
        """Compile and keep. ValueError with a sentence when it cannot be followed.

        NoRoomError when those before it have to end first.
        """
        if self._growth() > KEPT_BYTES:
            self._let_go()
            if len(self._alive) >= NUM_KEPT and self._growth() > HELD_BYTES:
                raise NoRoomError
        compiled = self.accept(grammar)
        with self._lock:
            self._alive[grammar] = compiled
            self._keep(grammar, compiled)
        return compiled

    def accept(self, grammar: Grammar) -> CompiledGrammar:
        """Compile, as long as it takes, for nobody else. ValueError as above."""
        if self._tokenizer is None:
            raise ValueError("this model has no end token, which structured output needs")
        limits = LLParserLimits(
            step_lexer_fuel=STEP_FUEL,
            max_grammar_size=MAX_SYMBOLS,
            max_lexer_states=MAX_LEXER_STATES,
            verbose_errors=False,
        )
        source = to_lark(grammar)
        make = partial(LLMatcher, self._tokenizer, source, log_level=0, limits=limits)
        compiled = CompiledGrammar(make)
        if compiled.error:
            raise ValueError(_in_plain_words(compiled.error))
        return compiled

    def _growth(self) -> int:
        """Of the whole heap, in bytes: the library does not tell its own part."""
        return heap.used_bytes() - self._heap_bytes

    def _let_go(self) -> None:
        """Of those that nobody uses."""
        with self._lock:
            let_go, self._latest = self._latest, OrderedDict()
        while let_go:  # each takes milliseconds, between which the loop goes on
            let_go.popitem()

    def _keep(self, grammar: Grammar, compiled: CompiledGrammar) -> None:
        self._latest[grammar] = compiled
        self._latest.move_to_end(grammar)
        if len(self._latest) > NUM_KEPT:
            self._latest.popitem(last=False)


class _LibraryVocabulary:
    """What the library reads of a tokenizer."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.tokens = vocabulary.tokens
        self.special_token_ids = vocabulary.special
        self.eos_token_id = vocabulary.ends[0]

    def __call__(self, text: str) -> list[int]:
        raise AssertionError("tokens are never forced")


def to_lark(grammar: Grammar) -> str:
    """Return any grammar in the library's language. ValueError when its source cannot be read."""
    if grammar.kind == "lark":
        return HEAD + grammar.source
    if grammar.kind == "regex":
        # "d": a digit is one of 0 to 9, not of every script.
        return f"{HEAD}start: /{regex_to_lark(grammar.source, 'd')}/"
    try:
        value = json.loads(grammar.source)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if grammar.kind == "choices":
        # As one terminal: thousands of rules could not be followed.
        return f"{HEAD}start: CHOICE\nCHOICE: {_alternatives(value)}"
    return f"{HEAD}start: {json_rule(value, lenient=grammar.lenient)}"


def _alternatives(choices: Any) -> str:
    if not isinstance(choices, list) or not choices:
        raise ValueError("the choices are a list of at least one string")
    if not all(isinstance(choice, str) for choice in choices):
        raise ValueError("every choice is a string")
    return " | ".join(literal(choice) for choice in dict.fromkeys(choices))


def _in_plain_words(error: str) -> str:
    """Say what the library has to say, in one line and without what only it understands."""
    error = WHERE.sub("", error)
    if any(words in error for words in ("too big", "too large", "too many")):
        return "it is too large or too complex"
    if error.startswith(UNKNOWN_KEYWORDS):
        keywords = error.removeprefix(UNKNOWN_KEYWORDS).partition("]")[0].replace('"', "'")
        return f"it uses keywords that cannot be enforced: {keywords}"
    if "retriever" in error:
        return "'$ref' may only refer to parts of the same schema"
    if error.startswith("Failed to generate regex for"):
        return "no number between its bounds can be enforced"
    if "oneOf" in error:
        return "the alternatives of 'oneOf' overlap; use 'anyOf'"
    reasons = [line.removeprefix("error: ") for line in error.splitlines() if "error: " in line]
    sentence = reasons[-1] if reasons else error.partition("\n")[0]
    return sentence[:MAX_SENTENCE_CHARS].rstrip(".")
