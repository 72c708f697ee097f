"""What comes out fits the grammar, whatever the model says and however it is scheduled."""

import json
import re
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from llguidance import LLMatcher

from inference.engine.fake_codec import END_OF_TEXT, MESSAGE_START, FakeCodec
from inference.engine.model import HuggingFaceModel
from inference.engine.params import Grammar
from tests.inference.engine.grammars import PERSON, SCHEMAS, schema
from tests.inference.engine.rig import Bench, Outcome
from tests.inference.engine.tiny import make_bench, random_module


@pytest.fixture(scope="module")
def model() -> HuggingFaceModel:
    return HuggingFaceModel(random_module("llama", seed=7))


def assert_fits(outcome: Outcome, wanted: Any) -> None:
    assert outcome.finish == "FINISH_STOP", outcome
    Draft202012Validator(wanted).validate(json.loads(outcome.text))


@given(wanted=SCHEMAS, seed=st.integers(0, 1000))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_random_models_text_is_json_that_fits_a_random_schema(
    model: HuggingFaceModel, wanted: Any, seed: int
) -> None:
    bench = make_bench(model, max_model_len=512, num_blocks=512)
    outcomes = [
        bench.submit([1, 2], max_tokens=500, temperature=1.0, seed=seed + n, grammar=schema(wanted))
        for n in range(3)
    ]
    bench.run()
    for outcome in outcomes:
        if outcome.finish == "FINISH_STOP":
            assert_fits(outcome, wanted)
        else:  # a run of white space long enough: the text so far may still go on to fit
            assert outcome.finish == "FINISH_LENGTH", outcome


@pytest.mark.parametrize(
    ("grammar", "pattern"),
    [
        (Grammar("regex", r"[a-c]{3}-\d{2,4}/x"), r"[a-c]{3}-[0-9]{2,4}/x"),
        (Grammar("regex", r"^(on|off)$"), r"on|off"),
        (Grammar("choices", '["yes", "\\"no\\"", "é/🙂\\n", "yes"]'), r'yes|"no"|é/🙂\n'),
        (Grammar("lark", 'start: "a" /[0-9]/ "b"'), r"a[0-9]b"),
        (schema(True), r"(?s).+"),
    ],
)  # fmt: skip
def test_the_other_kinds(model: HuggingFaceModel, grammar: Grammar, pattern: str) -> None:
    bench = make_bench(model)
    params: dict[str, Any] = {"max_tokens": 120, "temperature": 1.0, "grammar": grammar}
    outcomes = [bench.submit([n], seed=n, **params) for n in range(8)]
    bench.run()
    finished = [outcome for outcome in outcomes if outcome.finish == "FINISH_STOP"]
    assert len(finished) > 4
    assert all(re.fullmatch(pattern, outcome.text) for outcome in finished), finished


def test_a_choice_may_be_one_of_thousands_and_begin_another(model: HuggingFaceModel) -> None:
    bench = make_bench(model)
    many = Grammar("choices", json.dumps([f"choice number {n}" for n in range(5000)]))
    few = Grammar("choices", '["", "a", "ab", "abc"]')
    asked: dict[str, Any] = {"max_tokens": 40, "temperature": 2.0}
    long = bench.submit([7], grammar=many, **asked)
    short = [bench.submit([7], grammar=few, seed=n, **asked) for n in range(60)]
    bench.run()
    assert re.fullmatch(r"choice number \d+", long.text)
    assert {outcome.text for outcome in short} == {"", "a", "ab", "abc"}


def test_an_empty_choice_ends_at_once(model: HuggingFaceModel) -> None:
    bench = make_bench(model)
    outcome = bench.submit([1], max_tokens=9, grammar=Grammar("choices", '[""]'))
    bench.run()
    assert (outcome.finish, outcome.text, len(outcome.token_ids)) == ("FINISH_STOP", "", 1)


@pytest.mark.parametrize(
    ("extra", "least", "most"),
    [
        ({"ignore_eos": True}, 64, 64),
        ({"min_tokens": 60}, 60, 64),
        ({"logit_bias": ((256, 90.0),)}, 1, 1),
    ],
)
def test_the_end_comes_when_the_grammar_may_end(
    model: HuggingFaceModel, extra: dict[str, Any], least: int, most: int
) -> None:
    """A biased end does not come before, and one held off comes when nothing else is left."""
    bench = make_bench(model)
    params: dict[str, Any] = {"temperature": 1.0, "seed": 5, **extra}
    person = bench.submit([3], max_tokens=250, grammar=schema(PERSON), **params)
    letters = bench.submit([3], max_tokens=70, grammar=Grammar("regex", "a{1,64}"), **extra)
    bench.run()
    assert_fits(person, PERSON)
    assert letters.finish == "FINISH_STOP"
    assert least <= len(letters.text) <= most


def test_a_stop_token_that_the_grammar_demands_stops_nothing_before_min_tokens(
    model: HuggingFaceModel,
) -> None:
    bench = make_bench(model)
    asked = {"max_tokens": 20, "grammar": Grammar("regex", "a{9}"), "stop_token_ids": (ord("a"),)}
    short, late = (bench.submit([7], min_tokens=n, **asked) for n in (0, 4))
    bench.run()
    assert (short.text, late.text) == ("", "aaaa")
    assert (short.finish, late.finish) == ("FINISH_STOP", "FINISH_STOP")


def test_a_text_that_is_cut_is_said_to_be_cut(model: HuggingFaceModel) -> None:
    bench = make_bench(model)
    outcome = bench.submit([3], max_tokens=4, grammar=schema(PERSON))
    bench.run()
    assert (outcome.finish, len(outcome.token_ids)) == ("FINISH_LENGTH", 4)
    assert outcome.text.startswith("{")


def test_log_probabilities_are_those_of_all_tokens(model: HuggingFaceModel) -> None:
    """What the grammar forces is still as unlikely as the model finds it."""
    bench = make_bench(model)
    free = bench.submit([3], max_tokens=1, logprobs=20)
    forced = bench.submit([3], max_tokens=1, logprobs=20, grammar=Grammar("choices", '["Q"]'))
    bench.run()
    [one], [other] = free.deltas[0].logprobs, forced.deltas[0].logprobs
    assert one.top == other.top
    assert other.token_id == ord("Q")
    assert other.logprob <= min(top.logprob for top in other.top)


def test_an_end_that_the_tokenizer_does_not_call_special_is_no_text(
    model: HuggingFaceModel,
) -> None:
    class Plain(FakeCodec):
        def is_special(self, token_id: int) -> bool:
            return token_id == MESSAGE_START

    bench = make_bench(model, codec=Plain())
    asked: dict[str, Any] = {"max_tokens": 200, "logit_bias": ((END_OF_TEXT, 90.0),)}
    wanted = {"type": "string", "minLength": 20, "maxLength": 30}
    outcome = bench.submit([3], grammar=schema(wanted), **asked)
    bench.run()
    assert_fits(outcome, wanted)


MIXED = [
    {"temperature": 1.0, "grammar": schema(PERSON)},
    {"temperature": 0.8, "top_p": 0.9},
    {"temperature": 0.0, "grammar": Grammar("regex", "(ab|c){20}")},
    {"temperature": 0.0},
    {"temperature": 1.0, "top_k": 20, "grammar": schema({"type": "object"})},
    {"temperature": 1.0, "repetition_penalty": 1.2},
    {"temperature": 1.0, "min_p": 0.01, "frequency_penalty": 0.5, "grammar": schema(PERSON)},
]


def texts(bench: Bench, *, constrained: bool = True, plain: bool = True) -> dict[int, Any]:
    """Run the mixture, or a part of it; what became of each."""
    outcomes: dict[int, Outcome] = {}
    for n in range(64):
        params = MIXED[n % len(MIXED)]
        if constrained if "grammar" in params else plain:
            outcomes[n] = bench.submit([n, n + 1, 7], max_tokens=40, seed=n, **params)
    bench.run()
    return {n: (o.token_ids, o.text, o.finish) for n, o in outcomes.items()}


def test_rows_with_and_without_a_grammar_leave_each_other_alone(model: HuggingFaceModel) -> None:
    together = texts(make_bench(model, max_running=64, num_blocks=1024))
    alone = texts(make_bench(model), plain=False) | texts(make_bench(model), constrained=False)
    assert together == alone
    assert len(together) == 64


def test_preemption_changes_nothing(model: HuggingFaceModel) -> None:
    tight = make_bench(model, num_blocks=40, max_model_len=256)
    assert texts(tight) == texts(make_bench(model))
    assert tight.scheduler.num_preemptions > 5


def test_a_step_that_is_run_again_changes_nothing(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = texts(make_bench(model))
    bench = make_bench(model)
    run = bench.loop.runner.run
    calls = 0

    def crash_often(plan: Any) -> Any:
        """Crash after the work is done, unless the row stands alone."""
        nonlocal calls
        calls += 1
        result = run(plan)
        if len(plan.rows) > 1 and calls % 3 == 0:
            raise RuntimeError("a crash, as asked for")
        return result

    monkeypatch.setattr(bench.loop.runner, "run", crash_often)
    assert texts(bench) == expected


def test_guesses_change_nothing_and_are_kept_where_text_repeats() -> None:
    module = random_module("llama", seed=5)
    for layer in module.model.layers:  # sees one token only, so it must come round again
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
    looping = HuggingFaceModel(module)
    rows = schema(
        {"type": "array", "items": {"const": {"city": "Bern", "ok": True}}, "minItems": 4}
    )

    def generate(drafts: int) -> tuple[list[Any], Bench]:
        bench = make_bench(looping, max_drafts=drafts, max_model_len=512, num_blocks=512)
        params: dict[str, Any] = {"max_tokens": 300, "seed": 3}
        outcomes = [
            bench.submit([7, 8, 9] * 4, grammar=rows, **params),
            bench.submit([7, 8, 9] * 4, grammar=rows, min_tokens=200, **params),
            bench.submit([7, 8, 9] * 4, grammar=rows, temperature=0.7, **params),
            bench.submit([5, 4] * 6, grammar=Grammar("regex", "([a-d]{2,9}-)+"), **params),
            bench.submit([5, 4] * 6, grammar=schema(PERSON), temperature=1.0, **params),
        ]
        bench.run()
        return [(o.token_ids, o.text, o.finish, o.error) for o in outcomes], bench

    plain, slow = generate(0)
    guessed, fast = generate(16)
    assert guessed == plain
    assert fast.num_steps < 0.8 * slow.num_steps


def test_a_grammar_that_becomes_too_complex_fails_alone(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(model, max_model_len=512, num_blocks=512)
    hard = Grammar("regex", "(.{0,300}a){20}b")
    with monkeypatch.context() as patch:
        patch.setattr("inference.engine.grammar.STEP_FUEL", 3000)
        outcome = bench.submit([1], max_tokens=400, temperature=2.0, seed=1, grammar=hard)
    other = bench.submit([3], max_tokens=250, temperature=1.0, seed=5, grammar=schema(PERSON))
    bench.run()
    assert outcome.finish == "FINISH_ERROR"
    assert outcome.error == "The text's grammar became too complex to follow."
    assert_fits(other, PERSON)


def test_what_becomes_too_complex_is_told_as_such_beside_guesses(model: HuggingFaceModel) -> None:
    hard = Grammar("regex", "((a{1,100}){1,100}){1,100}")

    def heard(drafts: int) -> tuple[Any, ...]:
        bench = make_bench(model, max_drafts=drafts)
        outcome = bench.submit([7], max_tokens=99, ignore_eos=True, grammar=hard)
        bench.run()
        return outcome.token_ids, outcome.finish, outcome.error

    plain = heard(0)
    assert plain[1:] == ("FINISH_ERROR", "The text's grammar became too complex to follow.")
    assert heard(8) == plain


def test_what_all_texts_of_a_grammar_have_come_to_is_too_much_for_none_of_them(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each comes to about 100 states of it, and 250 are kept."""
    with monkeypatch.context() as patch:
        patch.setattr("inference.engine.grammar.MAX_LEXER_STATES", 250)
        grammar = Grammar("regex", "|".join(f"{letter}[x{letter}]{{100}}" for letter in "abcdefgh"))
        bench = make_bench(model)
        params: dict[str, Any] = {"max_tokens": 120, "grammar": grammar}
        outcomes = [
            bench.submit([1], logit_bias=((ord(letter), 100.0),), **params) for letter in "abc"
        ]
        bench.run()
        outcomes += [
            bench.submit([1], logit_bias=((ord(letter), 100.0),), **params) for letter in "defgh"
        ]
        bench.run()
    assert [outcome.text[:1] for outcome in outcomes] == list("abcdefgh")
    assert {(outcome.finish, len(outcome.text)) for outcome in outcomes} == {("FINISH_STOP", 101)}


@pytest.mark.parametrize(
    ("crowds", "most"),
    [(["ab", "cccccc"], 2), (["abcdefgh"], 2 + 8)],
    ids=["one of them", "each, of what is too much together"],
)
def test_a_crowd_begins_its_grammar_again_no_more_often_than_it_has_to(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch, crowds: list[str], most: int
) -> None:
    """The loop waits while it is compiled."""
    made: list[LLMatcher] = []

    def make(*args: Any, **options: Any) -> LLMatcher:
        made.append(LLMatcher(*args, **options))
        return made[-1]

    grammar = Grammar("regex", "|".join(f"{letter}[x{letter}]{{100}}" for letter in "abcdefgh"))
    bench = make_bench(model)

    def say(letters: str) -> list[Outcome]:
        outcomes = [
            bench.submit([1], max_tokens=120, grammar=grammar, logit_bias=((ord(letter), 100.0),))
            for letter in letters
        ]
        bench.run()
        return outcomes

    with monkeypatch.context() as patch:
        patch.setattr("inference.engine.grammar.MAX_LEXER_STATES", 250)
        patch.setattr("inference.engine.grammar.LLMatcher", make)
        outcomes = [outcome for letters in crowds for outcome in say(letters)]
    assert {(outcome.finish, len(outcome.text)) for outcome in outcomes} == {("FINISH_STOP", 101)}
    assert len(made) <= most


def test_sequences_that_ended_are_forgotten(model: HuggingFaceModel) -> None:
    bench = make_bench(model)
    texts(bench)
    bench.step()  # with nothing to run
    bench.submit([1], max_tokens=1)
    bench.run()
    assert bench.loop.runner._masks._by_key == {}  # type: ignore[attr-defined]
