"""Which tokens run: shown on integers, without a model."""

import random

import pytest

from inference.engine.request import FinishReason, Sequence
from inference.engine.scheduler import PROMPT_LOGPROBS_CHUNK
from tests.inference.engine.desk import Desk, check, make


def test_it_gives_running_sequences_a_token_before_it_prefills() -> None:
    desk = Desk(make())
    desk.submit([1, 2, 3])
    desk.step()
    desk.submit(list(range(40)))
    plan = desk.step()
    assert [(row.start, row.num_tokens) for row in plan.rows] == [(3, 1), (0, 15)]


def test_it_cuts_long_prompts_into_chunks_that_fit_the_budget() -> None:
    desk = Desk(make(token_budget=10))
    desk.submit(list(range(25)), max_tokens=1)
    plans = desk.run()
    assert [plan.rows[0].num_tokens for plan in plans] == [10, 10, 5]
    assert [plan.rows[0].samples for plan in plans] == [False, False, True]


def test_it_bounds_the_chunks_of_prompts_whose_logits_are_kept() -> None:
    desk = Desk(make(num_blocks=512, max_model_len=2000, token_budget=2000))
    desk.submit(list(range(1000)), prompt_logprobs=0)
    assert desk.step().rows[0].num_tokens == PROMPT_LOGPROBS_CHUNK


def test_it_runs_a_lower_priority_number_first() -> None:
    desk = Desk(make(max_running=1))
    keys = [desk.submit([1], priority=p, max_tokens=1).key for p in (5, 0, -3)]
    assert desk.order() == keys[::-1]


def test_it_shares_blocks_of_equal_prefixes_and_leaves_one_token_to_compute() -> None:
    desk = Desk(make())
    desk.submit(list(range(8)))
    desk.step()
    twin = desk.submit(list(range(8)))
    plan = desk.step()
    row = next(row for row in plan.rows if row.key == twin.key)
    assert (row.start, row.num_tokens) == (4, 4)  # the second block would leave nothing
    assert twin.num_cached == 4


def test_those_that_are_held_take_nothing_of_a_step() -> None:
    desk = Desk(make())
    held = [desk.submit([n], max_tokens=9) for n in range(3)]
    desk.step()
    for sequence in held:
        sequence.held = True
    desk.submit(list(range(40)))
    assert [row.num_tokens for row in desk.step().rows] == [16]


def test_a_held_prompt_of_one_token_has_no_row() -> None:
    desk = Desk(make())
    held, other = desk.submit([1]), desk.submit([2])
    held.held = True
    assert [row.key for row in desk.scheduler.schedule().rows] == [other.key]


def test_it_counts_what_was_cached_once_though_a_sequence_begins_again() -> None:
    desk = Desk(make())
    desk.submit(list(range(12)))
    desk.run()
    twin = desk.submit(list(range(12)), max_tokens=9)
    desk.step()
    desk.scheduler._preempt(twin)
    desk.run()
    assert (twin.num_cached, desk.scheduler.num_cached_tokens) == (8, 8)


def test_it_does_not_share_between_tenants() -> None:
    desk = Desk(make())
    desk.submit(list(range(12)), "alice")
    desk.run()
    stranger = desk.submit(list(range(12)), "charlie")
    desk.run()
    friend = desk.submit(list(range(12)), "alice")
    desk.run()
    assert (stranger.num_cached, friend.num_cached) == (0, 8)


def test_it_keeps_nothing_that_a_failed_sequence_computed() -> None:
    desk = Desk(make())
    failed = desk.submit(list(range(12)), max_tokens=9)
    desk.step()
    desk.scheduler.end(failed, FinishReason.ERROR)
    again = desk.submit(list(range(12)))
    desk.run()
    assert again.num_cached == 0


def test_it_takes_no_prompt_from_the_cache_whose_logits_are_wanted() -> None:
    desk = Desk(make())
    desk.submit(list(range(12)))
    desk.run()
    assert desk.submit(list(range(12)), prompt_logprobs=1).num_cached is None
    assert desk.step().rows[0].start == 0


def test_it_preempts_the_last_and_finishes_everyone() -> None:
    desk = Desk(make(num_blocks=16, max_running=4))
    sequences = [desk.submit([n] * 8, max_tokens=40) for n in range(4)]
    desk.run()
    assert desk.scheduler.num_preemptions > 0
    assert all(sequence.num_generated == 40 for sequence in sequences)


def test_who_was_preempted_goes_before_those_who_came_later() -> None:
    desk = Desk(make(max_running=1))
    first = desk.submit([1], max_tokens=9)
    desk.step()
    desk.submit([2])
    desk.scheduler._preempt(first)
    assert [row.key for row in desk.step().rows] == [first.key]


def test_it_never_preempts_the_first() -> None:
    desk = Desk(make(num_blocks=16, max_running=4))
    first = desk.submit([0] * 8, max_tokens=40)
    for n in range(1, 4):
        desk.submit([n] * 8, max_tokens=40)
    computed = 0
    while not first.finished:
        desk.step()
        assert first.finished or first.num_computed > computed
        computed = first.num_computed


def test_it_admits_nobody_past_the_one_whose_blocks_are_missing() -> None:
    desk = Desk(make(num_blocks=16))
    desk.submit(list(range(40)), max_tokens=20)
    desk.step()
    big, small = desk.submit(list(range(100, 140))), desk.submit([1])
    for _ in range(3):
        desk.step()
    assert big.num_cached is None
    assert small.num_cached is None
    desk.run()


def test_it_admits_nobody_whom_the_next_tokens_would_preempt() -> None:
    desk = Desk(make(num_blocks=16))
    desk.submit([1] * 40, max_tokens=9)
    for _ in range(4):
        desk.step()
    desk.submit([2] * 20)  # as many blocks as are free
    desk.run()
    assert desk.scheduler.num_preemptions == 0


def test_it_shares_fairly_between_a_flood_and_a_polite_tenant() -> None:
    desk = Desk(make(max_running=1))
    flood = [desk.submit([n], "flood", max_tokens=5).key for n in range(20)]
    desk.step()
    polite = desk.submit([9], "polite", max_tokens=5).key
    assert desk.order().index(polite) <= 2
    assert flood


def test_a_flood_gives_up_slots_for_a_polite_tenant_at_once_but_keeps_its_share() -> None:
    desk = Desk(make(num_blocks=512))
    for n in range(8):
        desk.submit([n], "flood", max_tokens=60)
    for _ in range(5):
        desk.step()
    polite = [desk.submit([50 + n], "polite", max_tokens=20) for n in range(3)]
    for _ in range(4):
        desk.step()
    tenants = [sequence.tenant for sequence in desk.scheduler.running]
    assert (tenants.count("flood"), tenants.count("polite")) == (2, 2)
    assert desk.scheduler.num_preemptions == 2
    desk.run()
    assert all(sequence.num_generated == 20 for sequence in polite)
    assert desk.scheduler.num_preemptions <= 4


def test_a_flood_gives_up_blocks_for_a_polite_tenant() -> None:
    desk = Desk(make(num_blocks=32, max_running=8))
    for n in range(8):
        desk.submit([n] * 24, "flood", max_tokens=40)
    for _ in range(8):
        desk.step()
    polite = desk.submit([99] * 16, "polite", max_tokens=5)
    for _ in range(6):
        desk.step()
    assert polite.num_cached is not None
    desk.run()


def test_what_a_tenant_has_too_much_of_are_blocks_where_they_run_short() -> None:
    desk = Desk(make(num_blocks=32, max_running=8))
    for n in range(2):
        desk.submit([n] * 40, "flood", max_tokens=20)
    for n in range(3):
        desk.submit([9 + n], "small", max_tokens=60)
    while desk.scheduler.pool.num_free > 8:
        desk.step()
    polite = desk.submit([99] * 28, "polite", max_tokens=5)
    for _ in range(3):
        desk.step()
    assert polite.num_cached is not None
    assert [each.tenant for each in desk.scheduler.running].count("flood") == 1
    desk.run()


def test_tenants_with_equal_shares_leave_each_other_alone() -> None:
    desk = Desk(make(num_blocks=512))
    for n in range(12):
        desk.submit([n], "ab"[n % 2], max_tokens=30)
    desk.run()
    assert desk.scheduler.num_preemptions == 0


def test_it_weighs_output_twice_as_much_as_input() -> None:
    desk = Desk(make(max_running=1))
    heavy = [desk.submit([n], "heavy", max_tokens=10).key for n in range(6)]
    light = [desk.submit([n], "light", max_tokens=1).key for n in range(6)]
    order = desk.order()
    assert max(order.index(key) for key in light) < order.index(heavy[2])


def test_long_prompts_are_service_too() -> None:
    desk = Desk(make(max_running=1))
    long = [desk.submit([n] * 40, "alice", max_tokens=1).key for n in range(3)]
    short = [desk.submit([9 + n] * 4, "bob", max_tokens=1).key for n in range(7)]  # 7 * 6 = 42
    assert desk.order() == [long[0], *short, *long[1:]]


def test_who_was_away_has_saved_up_no_right_to_go_first() -> None:
    desk = Desk(make(max_running=1))
    bobs = [desk.submit([n] * 40, "bob", max_tokens=1).key for n in range(6)]
    while desk.by_key[bobs[2]].num_cached is None:
        desk.step()
    alices = [desk.submit([9 + n] * 40, "alice", max_tokens=1).key for n in range(3)]
    assert desk.order() == [bobs[2], alices[0], bobs[3], alices[1], bobs[4], alices[2], bobs[5]]


def test_a_flood_of_a_higher_priority_gives_nothing_up() -> None:
    desk = Desk(make(max_running=2))
    for n in range(2):
        desk.submit([n], "flood", max_tokens=9)
    desk.step()
    desk.submit([7], "polite", priority=1)
    desk.run()
    assert desk.scheduler.num_preemptions == 0


def test_it_gives_a_slot_of_a_lower_priority_to_a_higher_one_at_once() -> None:
    desk = Desk(make())
    batch = [desk.submit([n], max_tokens=30, priority=1) for n in range(6)]
    desk.step()
    person = desk.submit([9], max_tokens=3)
    plans = [desk.step() for _ in range(2)]
    assert any(row.key == person.key for row in plans[0].rows)
    assert desk.scheduler.num_preemptions == 1
    desk.run()
    assert all(sequence.num_generated == 30 for sequence in batch)
    assert desk.scheduler.num_preemptions == 1


def test_it_takes_the_blocks_of_a_lower_priority_for_a_higher_one() -> None:
    desk = Desk(make(num_blocks=16))
    for n in range(2):
        desk.submit([n] * 24, max_tokens=30, priority=1)
    for _ in range(5):
        desk.step()
    person = desk.submit([9] * 40, max_tokens=3)
    for _ in range(5):
        desk.step()
    assert person.num_cached is not None
    desk.run()


def full_of_texts(priority: int) -> tuple[Desk, list[Sequence]]:
    """Four texts of one tenant hold all places; the last is joined by a long prompt, then ends."""
    desk = Desk(make(num_blocks=512, max_model_len=512))
    texts = [desk.submit([n], "many", max_tokens=300, priority=priority) for n in range(3)]
    for _ in range(3):
        desk.step()
    desk.submit([50] * 400, "few", max_tokens=1)
    desk.step()
    return desk, texts


@pytest.mark.parametrize("prompt", [[60] * 5, [50] * 401], ids=["another", "the same prefix"])
@pytest.mark.parametrize("priority", [0, 1])
def test_nobody_is_preempted_for_one_who_cannot_begin_yet(prompt: list[int], priority: int) -> None:
    desk, texts = full_of_texts(priority)
    newcomer = desk.submit(prompt, "few", max_tokens=1)
    while newcomer.num_cached is None:
        before = [text.num_generated for text in texts]
        plan = desk.step()
        gained = sum(text.num_generated for text in texts) - sum(before)
        assert gained >= 2 + (newcomer.key not in {row.key for row in plan.rows})
    assert desk.scheduler.num_preemptions <= 1
    desk.run()


def test_a_place_is_given_up_where_texts_take_the_whole_step() -> None:
    desk = Desk(make(token_budget=4))
    for n in range(4):
        desk.submit([n], "many", max_tokens=60)
    for _ in range(6):
        desk.step()
    polite = desk.submit([50, 51], "few", max_tokens=1)
    for _ in range(3):
        desk.step()
    assert polite.finished
    desk.run()


def test_a_prompt_of_a_lower_priority_does_not_keep_a_higher_one_waiting() -> None:
    desk = Desk(make(num_blocks=512, max_model_len=512))
    desk.submit([1] * 500, priority=1)
    desk.step()
    person = desk.submit([9] * 3, max_tokens=1)
    plan = desk.step()
    assert [row.num_tokens for row in plan.rows] == [3, 13]
    assert person.finished
    desk.run()


def test_nor_does_it_when_it_has_the_blocks() -> None:
    desk = Desk(make(num_blocks=128, max_model_len=512))
    desk.submit([1] * 500, priority=1)
    desk.step()
    person = desk.submit([9] * 40, max_tokens=1)
    for _ in range(5):
        desk.step()
    assert person.finished
    desk.run()


def test_it_refuses_sizes_with_which_it_could_not_work() -> None:
    with pytest.raises(ValueError, match="token budget"):
        make(token_budget=2, max_running=4)
    with pytest.raises(ValueError, match="fewer than one"):
        make(num_blocks=2, max_model_len=64)


@pytest.mark.parametrize("seed", range(8))
def test_it_keeps_the_pool_whole_under_random_load(seed: int) -> None:
    draw = random.Random(seed)
    desk = Desk(make(num_blocks=20, max_running=5, token_budget=9, max_waiting=10))
    live: list[Sequence] = []
    for _ in range(300):
        if draw.random() < 0.4:
            tokens = [draw.randrange(2) for _ in range(draw.randint(1, 30))]
            live.append(
                desk.submit(
                    tokens,
                    draw.choice("abc"),
                    max_tokens=draw.randint(0, 30),
                    priority=draw.randrange(2),
                )
            )
        if live and draw.random() < 0.1:
            victim = live.pop(draw.randrange(len(live)))
            if not victim.finished:
                reason = draw.choice([FinishReason.CANCELLED, FinishReason.ERROR])
                desk.scheduler.end(victim, reason)
        if not desk.scheduler.idle:
            plan = desk.step()
            for row in plan.rows:  # max_tokens 0
                sequence = desk.by_key[row.key]
                if sequence.num_uncomputed == 0 and not sequence.finished:
                    desk.scheduler.end(sequence, FinishReason.LENGTH)
    for sequence in live:
        if not sequence.finished:
            desk.scheduler.end(sequence, FinishReason.CANCELLED)
    check(desk.scheduler)
    assert desk.scheduler.idle
    assert desk.scheduler.pool.num_used == 0
