"""Long prompts do not hold up the texts that run beside them: shown on a clock of our own."""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from inference.engine.fake import FakeOptions, FakeRunner, build
from inference.engine.fake_codec import FakeCodec
from inference.engine.grammar import Grammars, read_vocabulary
from inference.engine.grammar_masks import GrammarMasks
from inference.engine.limits import SchedulerLimits
from inference.engine.pace import Pace
from inference.engine.plan import Plan, StepResult
from tests.inference.engine.rig import Bench

BUDGET = 512


@dataclass
class Machine(FakeRunner):
    """A fake whose steps take the time that a formula says."""

    base_s: float = 0.004
    row_s: float = 0.001
    token_s: float = 0.0002
    chunk_s: float = 0.0  # of any step with a chunk
    now: float = 100.0
    steps: list[tuple[int, int, float]] = field(default_factory=list)  # rows, chunk tokens, s

    def __post_init__(self) -> None:
        codec = FakeCodec()
        masks = GrammarMasks(Grammars(read_vocabulary(codec, codec.vocab_size)))
        super().__init__(FakeOptions(text="a" * 5000), codec, masks)

    def quiet_s(self, rows: int) -> float:
        return self.base_s + self.row_s * rows

    def run(self, plan: Plan) -> StepResult:
        rows, tokens = plan.num_decoding, plan.num_chunk_tokens
        spent_s = self.quiet_s(rows) + self.token_s * tokens
        spent_s += self.chunk_s if tokens else 0.0
        self.now += spent_s
        self.steps.append((rows, tokens, spent_s))
        return super().run(plan)


def make(machine: Machine, max_stretch: float = 2.0, **sizes: int) -> Bench:
    sizes = {"max_model_len": 4096, "token_budget": BUDGET, **sizes}
    limits = SchedulerLimits(max_stretch=max_stretch, **sizes)
    served = build(FakeOptions(limits=limits))
    return Bench(
        served.scheduler, machine, served.codec, served.vocab_size, clock=lambda: machine.now
    )


def run_texts(bench: Bench, count: int, steps: int = 30) -> None:
    for n in range(count):
        bench.submit([n, 1, 2], max_tokens=4000)
    for _ in range(steps):
        bench.step()


def prefill(bench: Bench, machine: Machine, **params: Any) -> list[tuple[int, int, float]]:
    """Run a long prompt to its first token; return the steps that took."""
    machine.steps.clear()
    outcome = bench.submit([9] * 3000, max_tokens=1, **params)
    while not outcome.finish:
        bench.step()
    return list(machine.steps)


@pytest.mark.parametrize("texts", [1, 8, 40])
def test_a_long_prompt_makes_no_step_longer_than_twice_the_quiet_one(texts: int) -> None:
    machine = Machine()
    bench = make(machine)
    for count in {1, texts}:
        run_texts(bench, texts if count == texts else 1)
    rows = len(bench.scheduler.running)
    most_s = machine.quiet_s(rows) + machine.quiet_s(rows + 1)
    steps = prefill(bench, machine)
    assert {decoding for decoding, _, _ in steps} == {rows}
    assert max(spent_s for _, _, spent_s in steps) <= 1.03 * most_s
    # And it does not dawdle: the time that is there is used.
    assert sum(spent_s for _, _, spent_s in steps[5:-1]) >= 0.85 * most_s * len(steps[5:-1])


def test_a_crowd_is_let_in_quickly() -> None:
    machine = Machine()
    bench = make(machine)
    for texts in (1, 1):
        run_texts(bench, texts)
    machine.steps.clear()
    crowd = [bench.submit([n] * 100, max_tokens=1) for n in range(60)]
    for _ in range(7):
        bench.step()
    # What a step of some sixty takes: some 60 ms, or 300 tokens. The first chunks are a measure.
    assert all(tokens > 240 for _, tokens, _ in machine.steps[2:])
    assert sum(bool(outcome.finish) for outcome in crowd) > 10


def with_ten_texts(machine: Machine) -> Bench:
    """Ten texts that decode; the steps so far are forgotten."""
    bench = make(machine)
    for texts in (1, 9):
        run_texts(bench, texts)
    machine.steps.clear()
    return bench


def let_thirty_in(machine: Machine, num_tokens: int) -> None:
    """Let thirty prompts join ten texts, until all decode."""
    bench = with_ten_texts(machine)
    for n in range(30):
        bench.submit([n] * num_tokens, max_tokens=4000)
    while not machine.steps or machine.steps[-1][0] < 40:
        bench.step()


def tokens_while_thirty_join(num_tokens: int) -> dict[int, int]:
    """Tokens of prompts in the steps, by their rows, while thirty prompts join ten texts."""
    machine = Machine()
    let_thirty_in(machine, num_tokens)
    *steps, _last_chunk, _without = machine.steps
    return {rows: tokens for rows, tokens, _ in steps}


def test_as_long_as_more_wait_than_decode_they_get_more_of_a_step() -> None:
    # Steps of forty take 44 ms, or 220 tokens: as much again for those who wait, or by majority.
    tokens_at = tokens_while_thirty_join(300)
    assert min(tokens_at) == 10
    assert all(tokens > 380 for rows, tokens in tokens_at.items() if rows < 15)
    assert all(210 < tokens < 230 for rows, tokens in tokens_at.items() if rows > 20)


def test_whoever_waits_with_a_short_prompt_counts_as_sixteen_who_decode() -> None:
    # As above, but two who wait are as many as 32 who decode: steps are full almost to the end.
    tokens_at = tokens_while_thirty_join(100)
    assert all(tokens > 440 for rows, tokens in tokens_at.items() if rows <= 34)
    for rows, tokens in tokens_at.items():
        assert tokens < 220 * max(16 * (40 - rows) / rows, 1) + 5
    assert len(tokens_at) == 6


def test_however_many_wait_nobodys_step_takes_five_times_as_long() -> None:
    machine = Machine(token_s=0.0005)  # 512 tokens would take six times as long
    let_thirty_in(machine, 40)
    assert 4 * machine.quiet_s(40) < max(spent_s for *_, spent_s in machine.steps[1:])
    assert max(spent_s for *_, spent_s in machine.steps[1:]) < 5.2 * machine.quiet_s(40)


def test_a_short_prompt_before_long_ones_makes_no_crowd_of_them() -> None:
    machine = Machine()
    bench = with_ten_texts(machine)
    for n in range(15):
        bench.submit([n] * (2 if n % 5 == 0 else 800), max_tokens=4000)
    for _ in range(5):
        bench.step()
    # Half as many more wait as decode: 150 tokens, and as many again by half.
    assert all(tokens < 240 for _, tokens, _ in machine.steps)


def test_one_who_waits_beside_many_is_no_crowd() -> None:
    pace = Pace(2.0, 4096)
    for rows in (20, 40):
        pace.note(rows, 0, 0.004 + 0.001 * rows)
        pace.note(rows, 100, 0.024 + 0.001 * rows)
    short, long = 10.0, 10_000.0
    assert pace.allowance(39, 40, short) == pace.allowance(39, 40, long)
    assert pace.allowance(20, 22, short) > 1.5 * pace.allowance(20, 22, long)


def test_after_one_text_alone_a_crowd_with_long_prompts_is_not_taken_for_slow_prompts() -> None:
    machine = Machine()
    bench = make(machine)
    run_texts(bench, 1, steps=200)
    machine.steps.clear()
    for n in range(15):
        bench.submit([n] * 800, max_tokens=4000)
    while any(sequence.num_uncomputed > 1 for sequence in bench.scheduler.running) or not (
        bench.scheduler.num_waiting == 0 and len(machine.steps) > 5
    ):
        bench.step()
    # Sixteen decode in 20 ms, which is 100 tokens more; there was no quiet step to learn that from.
    late = [tokens for rows, tokens, _ in machine.steps[:-1] if rows >= 8]
    assert len(late) > 10
    assert min(late) > 80
    assert max(late) < 120


def test_a_majority_that_never_decodes_does_not_fill_the_steps() -> None:
    machine = Machine()
    bench = make(machine)
    for texts in (1, 1):
        run_texts(bench, texts)
    machine.steps.clear()
    for n in range(30):
        bench.submit([n, 3] * 200, max_tokens=1, tenant="flood")
    for _ in range(60):
        bench.step()
    # As if all 32 decoded, which takes 36 ms or 180 tokens, and a majority's twice that.
    assert 300 < max(tokens for _, tokens, _ in machine.steps[3:]) < 400


def test_with_a_chunks_own_fixed_cost_it_is_soon_so() -> None:
    machine = Machine(chunk_s=0.004)
    bench = make(machine)
    run_texts(bench, 8)
    steps = prefill(bench, machine)
    assert all(spent_s <= 2.05 * machine.quiet_s(8) for _, _, spent_s in steps[8:])


def test_the_rows_that_came_since_are_taken_into_account() -> None:
    machine = Machine()
    bench = make(machine)
    for texts in (1, 4, 27):
        run_texts(bench, texts)
    steps = prefill(bench, machine)
    quiet_s = machine.quiet_s(32)
    assert 1.8 * quiet_s <= max(spent_s for _, _, spent_s in steps) <= 2.1 * quiet_s


def test_without_anybody_to_hold_up_a_prompt_gets_the_whole_budget() -> None:
    machine = Machine()
    bench = make(machine)
    run_texts(bench, 2)
    for number in (1, 2):
        bench.loop.cancel("stream", number)
    bench.step()
    assert [tokens for _, tokens, _ in prefill(bench, machine)][:5] == [BUDGET] * 5


def test_without_a_limit_it_gets_what_the_rows_leave_of_the_budget() -> None:
    machine = Machine()
    bench = make(machine, max_stretch=0)
    run_texts(bench, 2)
    assert prefill(bench, machine)[0][:2] == (2, BUDGET - 2)


def test_a_prompt_always_goes_on() -> None:
    machine = Machine(token_s=1.0)
    bench = make(machine)
    run_texts(bench, 1)
    steps = prefill(bench, machine)
    assert {tokens for _, tokens, _ in steps[:-1]} == {BUDGET // 32}


@pytest.mark.parametrize("budget", [16, 64, BUDGET])
def test_one_step_that_stood_still_is_soon_forgotten(budget: int) -> None:
    machine = Machine()
    bench = make(machine, token_budget=budget, max_running=16)
    run_texts(bench, 8)
    prefill(bench, machine)
    machine.chunk_s = 5.0
    bench.submit([8] * 3000, max_tokens=1)
    bench.step()
    machine.chunk_s = 0.0
    for _ in range(50):
        bench.step()
    assert machine.steps[-1][1] >= min(0.85 * 65, budget - 8)  # 65: in 13 ms, as nine take


def test_a_line_through_few_points_does_not_promise_the_impossible() -> None:
    pace = Pace(2.0, BUDGET)
    for rows, seconds in ((30, 0.030), (32, 0.040)) * 4:
        pace.note(rows, 0, seconds)
    assert pace.decode_s(1) > 0.005
    assert pace.decode_s(32) == pytest.approx(0.037, rel=0.1)
    assert pace.decode_s(64) < 0.080


def test_a_step_of_as_many_rows_as_there_were_is_not_taken_for_an_average_one() -> None:
    pace = Pace(2.0, BUDGET)
    for rows in (24, 32, 40) * 8:
        pace.note(rows, 0, 0.004 + 0.001 * rows)
    assert pace.decode_s(40) == pytest.approx(0.044, rel=0.01)
    assert pace.decode_s(26) == pytest.approx(0.030, rel=0.01)


def test_where_rows_cost_nothing_fewer_are_no_faster() -> None:
    pace = Pace(2.0, BUDGET)
    for rows in (10, 30) * 8:
        pace.note(rows, 0, 0.020)
    assert pace.decode_s(5) == pytest.approx(0.020, rel=0.01)


def test_a_prompt_gets_the_whole_budget_as_long_as_nothing_is_known() -> None:
    only_prompts, only_texts = Pace(2.0, BUDGET), Pace(2.0, BUDGET)
    only_prompts.note(0, 100, 0.020)
    only_texts.note(4, 0, 0.008)  # whose prompts were of one token
    assert only_prompts.allowance(1, 2, 50.0) == BUDGET
    assert only_texts.allowance(1, 2, 50.0) == BUDGET


@pytest.mark.parametrize("stretch", [-1.0, 0.5, 1.0, math.nan, math.inf])
def test_a_stretch_that_bounds_nothing_or_all_is_refused(stretch: float) -> None:
    with pytest.raises(ValueError, match="max_stretch must be above 1, or 0"):
        make(Machine(), max_stretch=stretch)
