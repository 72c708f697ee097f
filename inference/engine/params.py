"""What a caller may ask of one generated sequence.

Owns the sampling parameters and their valid ranges; both halves of the product (web and engine)
import it, so it knows neither Django nor torch. The engine serves single sequences: `n`,
`best_of` and lists of prompts are fanned out by the web side, and prefix sharing makes them cheap.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from inference.engine.tool_formats import FORMATS

GrammarKind = Literal["json_schema", "regex", "choices", "lark"]
MAX_GRAMMAR_CHARS = 1 << 17
MOST_LOGPROBS = 20  # alternatives reported for one token


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a sequence's text has to be, from its first character to its last.

    `source` is a JSON schema as JSON, a regular expression, a JSON list of strings one of which
    the text must be, or a grammar in llguidance's dialect of Lark. `lenient`: parts of a schema
    that cannot be enforced are ignored instead of refused.
    """

    kind: GrammarKind
    source: str
    lenient: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown kind and for more text than is ever compiled."""
        if self.kind not in get_args(GrammarKind):
            raise ValueError(f"there is no grammar of the kind {self.kind!r}")
        if len(self.source) > MAX_GRAMMAR_CHARS:
            raise ValueError(
                f"the grammar has {len(self.source):,} characters; at most {MAX_GRAMMAR_CHARS:,}"
            )


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Parameters of one sequence. Defaults are "do nothing special".

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 switch the filter off.
    `logprobs` is the number of alternatives to report for each generated token (None: none at
    all, 0: only the sampled token's), taken from the distribution before temperature and filters.
    `prompt_logprobs` is the same for the tokens of the prompt (echo). With a `grammar`, what
    follows its complete text is the end, `min_tokens` and `ignore_eos` notwithstanding. `stop` ends
    what is said before calls of tools in the form `tool_format`, never a call.
    """

    max_tokens: int
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    grammar: Grammar | None = None
    tool_format: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError naming the parameter that is out of its range."""
        _check_range("max_tokens", self.max_tokens, 0, 2**31 - 1)
        _check_range("min_tokens", self.min_tokens, 0, self.max_tokens)
        _check_range("temperature", self.temperature, 0.0, 2.0)
        _check_range("top_p", self.top_p, 0.0, 1.0)
        _check_range("top_k", self.top_k, 0, 2**31 - 1)
        _check_range("min_p", self.min_p, 0.0, 1.0)
        # Less would take logits, which are divided by it, out of float32's range.
        _check_range("repetition_penalty", self.repetition_penalty, 0.01, 10.0)
        _check_range("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _check_range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        if self.seed is not None:
            _check_range("seed", self.seed, -(2**63), 2**63 - 1)
        if self.tool_format and self.tool_format not in FORMATS:
            raise ValueError(f"there is no tool_format {self.tool_format!r}")
        for name in ("logprobs", "prompt_logprobs"):
            value = getattr(self, name)
            if value is not None:
                _check_range(name, value, 0, MOST_LOGPROBS)

    @property
    def looks_back(self) -> bool:
        """Whether a token's distribution cannot be computed before the host knows the last one."""
        return self.has_penalties or self.grammar is not None

    @property
    def has_penalties(self) -> bool:
        """Whether the tokens so far change the chances of the next one."""
        return (
            self.repetition_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
        )


def _check_range(name: str, value: float, low: float, high: float) -> None:
    # `not low <= value` also catches NaN, which compares false with everything.
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, not {value}")
