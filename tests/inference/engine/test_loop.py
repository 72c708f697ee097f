"""The loop turns requests into counted tokens and exactly one end each."""

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.fake import FakeOptions, FakeRunner, build
from inference.engine.fake_codec import END_OF_TEXT, FakeCodec
from inference.engine.grammar_masks import GrammarMasks
from inference.engine.limits import SchedulerLimits
from inference.engine.loop import REST_S
from inference.engine.plan import Plan, StepResult
from tests.inference.engine.rig import Bench

CODEC = FakeCodec()
SMALL = SchedulerLimits(max_model_len=128, token_budget=32, max_running=4, max_waiting=8)


class Watched(FakeRunner):
    """Counts what it samples, and crashes on prompts that begin with a poisoned token."""

    sampled: dict[int, list[int]]
    poison = 66
    runs = 0

    def run(self, plan: Plan) -> StepResult:
        self.runs += 1
        if any(row.tokens[0] == self.poison for row in plan.rows):
            raise RuntimeError("poisoned")
        return super().run(plan)


def make(text: str = "Hello, Grüße 👋🏽!", **options: Any) -> Bench:
    fake = FakeOptions(text=text, **{"limits": SMALL, "num_blocks": 64, **options})
    served = build(fake)
    runner = Watched(fake, CODEC, GrammarMasks(served.grammars))
    return Bench(served.scheduler, runner, served.codec, served.vocab_size)


def test_it_counts_every_sampled_token_once_and_the_end_of_text_too() -> None:
    bench = make("Hello")
    outcome = bench.submit([1, 2], max_tokens=50)
    bench.run()
    assert outcome.token_ids == [*CODEC.encode_text("Hello"), END_OF_TEXT]
    assert (outcome.text, outcome.finish) == ("Hello", "FINISH_STOP")


def test_it_says_length_when_the_tokens_are_used_up() -> None:
    bench = make("abcdef")
    outcome = bench.submit([1], max_tokens=3)
    bench.run()
    assert (outcome.text, outcome.finish, len(outcome.token_ids)) == ("abc", "FINISH_LENGTH", 3)


def test_a_held_stream_pauses_and_then_goes_on_where_it_was() -> None:
    bench = make("abcdefgh")
    slow = bench.submit([1], max_tokens=8, handle="slow")
    other = bench.submit([1], max_tokens=8, handle="other")
    bench.loop.step()
    bench.loop.hold("slow", held=True)
    later = bench.submit([1] * 9, max_tokens=2, handle="slow")
    scored = bench.submit([1] * 9, max_tokens=0, prompt_logprobs=2, handle="slow")
    for _ in range(20):
        bench.loop.step()
    assert (slow.text, slow.finish) == ("a", "")
    assert (later.text, scored.finish) == ("", "")
    assert (other.text, other.finish) == ("abcdefgh", "FINISH_LENGTH")
    bench.loop.hold("slow", held=False)
    bench.run()
    assert (slow.text, slow.finish, later.text) == ("abcdefgh", "FINISH_LENGTH", "ab")
    assert scored.finish == "FINISH_LENGTH"


def test_what_is_held_can_be_cancelled() -> None:
    bench = make("abcdefgh")
    outcome = bench.submit([1], max_tokens=8)
    bench.loop.step()
    bench.loop.hold("stream", held=True)
    bench.loop.cancel("stream", 1)
    bench.run()
    assert (outcome.text, outcome.finish) == ("a", "FINISH_CANCELLED")


def test_it_says_length_when_the_context_is_full() -> None:
    bench = make("a" * 500)
    outcome = bench.submit([1] * 120, max_tokens=100)
    bench.run()
    assert (len(outcome.token_ids), outcome.finish) == (8, "FINISH_LENGTH")


def test_it_bills_held_back_stop_text_and_does_not_show_it() -> None:
    bench = make("one STOP two")
    outcome = bench.submit([1], max_tokens=50, stop=("STOP",))
    bench.run()
    assert outcome.text == "one "
    assert outcome.stop_reason == "STOP"
    assert CODEC.decode(outcome.token_ids) == "one STOP"


def test_it_stops_at_the_limit_on_what_might_have_begun_a_call() -> None:
    bench = make("ab<c")
    outcome = bench.submit([1], max_tokens=3, stop=("<",), tool_format="hermes")
    bench.run()
    assert (outcome.text, outcome.finish, outcome.stop_reason) == ("ab", "FINISH_STOP", "<")


def test_it_shows_what_was_held_back_when_the_stop_never_came() -> None:
    bench = make("one STO")
    ended = bench.submit([1], max_tokens=50, stop=("STOP",))
    cut = bench.submit([1], max_tokens=6, stop=("STOP",))
    bench.run()
    assert (ended.text, ended.finish) == ("one STO", "FINISH_STOP")
    assert (cut.text, cut.finish) == ("one ST", "FINISH_LENGTH")


def test_it_stops_at_stop_token_ids_without_their_text() -> None:
    bench = make("abc")
    outcome = bench.submit([1], max_tokens=50, stop_token_ids=(ord("b"),))
    bench.run()
    assert (outcome.text, outcome.token_ids) == ("a", [ord("a"), ord("b")])


def test_no_stop_token_ends_a_call_of_a_tool() -> None:
    call = '<tool_call>\n{"name": "add"}\n</tool_call>'
    for text, said in ((call, call), ("{" + call, "")):
        bench = make(text)
        outcome = bench.submit([1], max_tokens=90, stop_token_ids=(ord("{"),), tool_format="hermes")
        bench.run()
        assert (outcome.text, outcome.finish) == (said, "FINISH_STOP")


def test_it_goes_on_past_the_end_of_text_when_asked_to() -> None:
    bench = make("ab")
    outcome = bench.submit([1], max_tokens=5, ignore_eos=True)
    bench.run()
    assert (len(outcome.token_ids), outcome.finish) == (5, "FINISH_LENGTH")


def test_it_tells_which_scored_tokens_are_no_part_of_the_text() -> None:
    bench = make()
    bench.loop.runner._write_script = lambda _: [*b"a", END_OF_TEXT, *b"b"]  # type: ignore[attr-defined]
    outcome = bench.submit([1], max_tokens=4, ignore_eos=True, logprobs=0)
    bench.run()
    scored = [entry.silent for delta in outcome.deltas for entry in delta.logprobs]
    assert (outcome.text, scored) == ("aba", [False, True, False, False])


def test_a_loop_of_which_all_are_held_rests() -> None:
    bench = make("a" * 90)
    bench.submit([1], max_tokens=90)
    bench.step()
    bench.loop.hold("stream", held=True)
    steps = []
    step = bench.loop.step
    bench.loop.step = lambda: (steps.append(1), step())[1]  # type: ignore[method-assign]
    thread = threading.Thread(target=bench.loop.run)
    thread.start()
    time.sleep(4 * REST_S)
    bench.loop.stop()
    thread.join()
    assert len(steps) < 20


def test_it_ignores_stop_strings_before_min_tokens() -> None:
    for min_tokens, text in ((3, "a.b"), (4, "a.b"), (5, "a.b.c")):
        bench = make("a.b.c.d.")
        outcome = bench.submit([1], max_tokens=50, min_tokens=min_tokens, stop=(".",))
        bench.run()
        assert outcome.text == text


def test_it_scores_a_prompt_without_generating() -> None:
    bench = make()
    outcome = bench.submit([5, 6, 7], max_tokens=0, prompt_logprobs=2)
    bench.run()
    assert (outcome.token_ids, outcome.finish) == ([], "FINISH_LENGTH")
    (delta,) = outcome.deltas
    assert [entry.token_id for entry in delta.prompt_logprobs] == [5, 6, 7]
    assert delta.prompt_logprobs[0].logprob != delta.prompt_logprobs[0].logprob  # NaN


def test_it_sends_prompt_logprobs_once_whatever_the_chunks_and_preemptions() -> None:
    bench = make("a" * 90, num_blocks=8, limits=replace(SMALL, token_budget=7))
    outcomes = [
        bench.submit(range(20 + n, 60 + n), max_tokens=30, prompt_logprobs=1) for n in range(3)
    ]
    bench.run()
    for n, outcome in enumerate(outcomes):
        scored = [e.token_id for delta in outcome.deltas for e in delta.prompt_logprobs]
        assert scored == list(range(20 + n, 60 + n))
        assert outcome.deltas[0].prompt_logprobs


def test_a_prompt_that_is_preempted_halfway_is_scored_once() -> None:
    bench = make("a" * 90, limits=replace(SMALL, token_budget=7))
    outcome = bench.submit(range(20, 60), max_tokens=3, prompt_logprobs=1)
    for _ in range(3):
        bench.step()
    (sequence,) = bench.scheduler.running
    assert 0 < sequence.num_computed < 40
    bench.scheduler._preempt(sequence)
    bench.run()
    scored = [e.token_id for delta in outcome.deltas for e in delta.prompt_logprobs]
    assert scored == list(range(20, 60))


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ([], "empty"),
        ([1] * 128, "128 tokens; at most 127"),
        ([1, 5000], "5000 is outside the vocabulary"),
    ],
)
def test_it_refuses_bad_prompts_with_a_sentence(prompt: list[int], sentence: str) -> None:
    bench = make()
    outcome = bench.submit(prompt, max_tokens=5)
    bench.run()
    assert outcome.finish == "FINISH_ERROR"
    assert sentence in outcome.error
    assert outcome.token_ids == []


def test_it_refuses_ids_outside_the_vocabulary_in_biases_and_stops() -> None:
    bench = make()
    outcomes = [
        bench.submit([1], max_tokens=5, logit_bias=((999, 1.0),)),
        bench.submit([1], max_tokens=5, stop_token_ids=(999,)),
    ]
    bench.run()
    assert [outcome.finish for outcome in outcomes] == ["FINISH_ERROR"] * 2


def test_it_refuses_a_number_that_is_in_use() -> None:
    bench = make("a" * 90)
    bench.submit([1], max_tokens=50)
    bench.step()
    bench.loop.hold("stream", held=True)
    bench._ids = 0
    again = bench.submit([2], max_tokens=5)
    bench.step()
    assert again.error == "Sequence 1 of this stream is still running."
    assert len(bench.scheduler.running) == 1


def test_it_stops_a_cancelled_sequence_within_two_steps() -> None:
    bench = make("a" * 100)
    outcome, other = bench.submit([1], max_tokens=100), bench.submit([2], max_tokens=100)
    bench.step()
    before = len(outcome.token_ids)
    bench.loop.cancel("stream", 1)
    bench.step()
    assert outcome.finish == "FINISH_CANCELLED"
    assert len(outcome.token_ids) - before <= 2
    bench.run()
    assert len(other.token_ids) == 100


def test_it_cancels_waiting_sequences_and_forgets_unknown_ones() -> None:
    bench = make("a" * 50)
    outcomes = [bench.submit([n], max_tokens=50) for n in range(6)]
    bench.step()
    bench.loop.cancel("stream", 6)
    bench.loop.cancel("stream", 99)
    bench.loop.cancel("nobody", 1)
    bench.step()
    assert outcomes[5].finish == "FINISH_CANCELLED"
    bench.run()


def test_it_frees_everything_of_a_stream_that_ended_within_two_steps() -> None:
    bench = make("a" * 100)
    for n in range(6):
        bench.submit([n, 1, 2], max_tokens=100, handle="gone" if n % 2 else "here")
    bench.step()
    bench.loop.close("gone")
    bench.step()
    assert len(bench.scheduler.running) + bench.scheduler.num_waiting == 3
    bench.run()


def test_it_fails_only_the_request_that_crashes_a_step(caplog: pytest.LogCaptureFixture) -> None:
    bench = make("abc")
    outcomes = [bench.submit([66 if n == 2 else n, 1], max_tokens=9) for n in range(4)]
    caplog.set_level("WARNING", "inference.engine.loop")
    bench.run()
    assert [o.finish == "FINISH_ERROR" for o in outcomes] == [False, False, True, False]
    assert all(o.text == "abc" for n, o in enumerate(outcomes) if n != 2)
    assert "could not compute" in outcomes[2].error
    [said] = [line for line in caplog.messages if line.startswith("request ")]
    assert said.startswith("request req_3 fails (sequence ")  # as the web side's log names it


def test_it_does_not_change_bystanders_while_it_looks_for_the_guilty_one() -> None:
    texts = []
    for poison in (3, 66):
        bench = make("Hello there")
        outcomes = [bench.submit([n, n], max_tokens=20) for n in (1, 2)]
        bench.step()
        bench.submit([poison, 1], max_tokens=3)
        bench.run()
        texts.append([(o.text, o.token_ids) for o in outcomes])
    assert texts[0] == texts[1]


def test_it_refuses_what_does_not_fit_the_queue_and_computes_nothing_for_it() -> None:
    bench = make("a" * 10)
    outcomes = [bench.submit([n], max_tokens=5) for n in range(14)]
    bench.run()
    finishes = [outcome.finish for outcome in outcomes]
    assert finishes == ["FINISH_LENGTH"] * 12 + ["FINISH_OVERLOADED"] * 2
    assert outcomes[13].token_ids == []


def test_a_refusal_does_not_wait_for_the_step_under_way() -> None:
    bench = make("a" * 10)
    bench.submit([1], max_tokens=5)
    late = bench.submit([1] * 500, max_tokens=5)
    seen: list[str] = []
    run = bench.loop.runner.run

    def watch(plan: Plan) -> StepResult:
        seen.append(late.finish)
        return run(plan)

    bench.loop.runner.run = watch  # type: ignore[method-assign]
    bench.step()
    assert seen == ["FINISH_ERROR"]


def test_it_refuses_new_sequences_while_it_drains() -> None:
    bench = make("a" * 10)
    running = bench.submit([1], max_tokens=5)
    bench.step()
    drained = bench.loop.drain()
    late = bench.submit([2], max_tokens=5)
    bench.step()
    assert late.finish == "FINISH_OVERLOADED"
    assert not drained.done()
    bench.run()
    assert drained.done()
    assert running.finish == "FINISH_LENGTH"


def test_it_tells_cached_tokens_with_the_first_delta_only() -> None:
    bench = make("abc")
    first = bench.submit(range(40), max_tokens=5)
    bench.run()
    second = bench.submit(range(40), max_tokens=5)
    bench.run()
    assert (first.cached_tokens, second.cached_tokens) == (0, 32)


def test_its_counts_add_up() -> None:
    bench = make("abcdef", num_blocks=10, limits=replace(SMALL, token_budget=9))
    outcomes = [bench.submit(range(n, n + 30), max_tokens=6) for n in range(5)]
    stats = bench.loop.stats()
    bench.run()
    assert stats.result().num_waiting >= 0
    later = bench.loop.stats()
    bench.step()
    numbers = later.result()
    assert numbers.generated_tokens == sum(len(outcome.token_ids) for outcome in outcomes) == 30
    assert (numbers.prompt_tokens, numbers.cached_prompt_tokens) == (5 * 30, 0)
    assert numbers.kv_blocks_used == 0
    assert numbers.num_running == numbers.num_waiting == 0


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_sequence_ends_once_with_all_its_tokens_whatever_is_asked(data: Any) -> None:
    bench = make("The engine wrote 你好, twice.", num_blocks=12)
    outcomes = []
    for number in range(data.draw(st.integers(1, 12))):
        prompt = data.draw(st.lists(st.integers(60, 70), min_size=1, max_size=40))
        limit = data.draw(st.integers(0, 40))
        stop = data.draw(st.sampled_from([(), ("wrote",), ("好", "e e")]))
        outcomes.append(bench.submit(prompt, max_tokens=limit, stop=stop, handle=number % 3))
        for _ in range(data.draw(st.integers(0, 3))):
            bench.step()
        if data.draw(st.integers(0, 4)) == 0:
            bench.loop.cancel(number % 3, data.draw(st.integers(1, number + 1)))
    bench.run()
    assert all(outcome.finish for outcome in outcomes)
    sampled = bench.loop.stats()
    bench.step()
    assert sampled.result().generated_tokens == sum(len(o.token_ids) for o in outcomes)
