"""The queue: a budget of tokens, fair between tenants, bounded, nothing lost."""

import pytest

from inference.engine.encoders.jobs import EncoderLimits, Job, Row
from inference.engine.encoders.queue import JobQueue


def job(tenant: str, *lengths: int, priority: int = 0) -> Job:
    rows = tuple(Row(tuple([1] * length)) for length in lengths)
    return Job(request_id="r", tenant=tenant, rows=rows, priority=priority)


def queue(budget: int = 100, waiting: int = 1000) -> JobQueue:
    return JobQueue(EncoderLimits(50, budget, waiting))


def drained(waiting: JobQueue) -> list[list[tuple[Job, int]]]:
    steps = []
    while waiting.num_tokens:
        steps.append(waiting.take())
    return steps


def test_steps_keep_to_the_budget_and_run_every_input_once() -> None:
    waiting = queue()
    jobs = [job("a", 50, 3, 20, 41), job("b", 30), job("c", *[7] * 40)]
    for each in jobs:
        assert waiting.submit(each) is None
    steps = drained(waiting)
    for step in steps:
        assert 0 < sum(len(each.rows[index].token_ids) for each, index in step) <= 100
    ran = [pair for step in steps for pair in step]
    assert sorted((jobs.index(each), index) for each, index in ran) == sorted(
        (n, index) for n, each in enumerate(jobs) for index in range(len(each.rows))
    )
    assert (waiting.num_tokens, waiting.num_inputs, waiting.jobs) == (0, 0, [])


def test_the_longest_inputs_of_a_job_come_first() -> None:
    waiting = queue(budget=50)
    waiting.submit(job("a", 5, 40, 20))
    assert [index for step in drained(waiting) for _, index in step] == [1, 2, 0]


def test_a_short_request_does_not_wait_for_a_long_one_of_another_tenant() -> None:
    waiting = queue()
    flood, polite = job("a", *[10] * 90), job("b", 10)
    waiting.submit(flood)
    waiting.take()
    waiting.submit(polite)
    assert (polite, 0) in waiting.take()


def test_a_lower_priority_waits_for_all_of_a_higher_one() -> None:
    waiting = queue(budget=50)
    later, sooner = job("a", 10, priority=1), job("b", 50, 50)
    waiting.submit(later)
    waiting.submit(sooner)
    assert [each for step in drained(waiting) for each, _ in step] == [sooner, sooner, later]


def test_a_flood_loses_its_own_newest_job_when_the_queue_is_full() -> None:
    waiting = queue(waiting=100)
    old, new, polite = job("a", 50), job("a", 40), job("b", 30)
    assert waiting.submit(old) is None
    assert waiting.submit(new) is None
    assert waiting.submit(polite) is new
    assert set(waiting.jobs) == {old, polite}
    assert waiting.num_tokens == 80


@pytest.mark.parametrize(
    ("tenant", "priority", "num_tokens"),
    [
        ("a", 0, 10),
        ("a", 0, 11),
        ("a", 1, 11),
        ("b", 0, 11),
        ("b", 0, 60),
        ("b", 1, 1),
        ("a", -1, 90),
    ],
)
def test_it_says_beforehand_whom_it_would_refuse(
    tenant: str, priority: int, num_tokens: int
) -> None:
    waiting = queue(waiting=100)
    waiting.submit(job("a", 50))
    waiting.submit(job("a", 40))
    full = waiting.is_full_for(tenant, priority, num_tokens)
    assert waiting.num_tokens == 90
    newcomer = job(tenant, num_tokens, priority=priority)
    assert full == (waiting.submit(newcomer) is newcomer)


def test_an_empty_queue_is_full_for_nobody() -> None:
    assert not queue(waiting=100).is_full_for("a", 0, 500)


def test_what_has_begun_is_not_pushed_out() -> None:
    waiting = queue(budget=50, waiting=100)
    begun, newcomer = job("a", 50, 50, 50), job("b", 30)
    waiting.submit(begun)
    assert waiting.take() == [(begun, 2)]
    assert waiting.submit(newcomer) is newcomer  # though what has begun waits with more
    assert waiting.num_tokens == 100


def test_an_empty_queue_takes_a_job_of_any_size() -> None:
    waiting = queue(waiting=10)
    assert waiting.submit(job("a", 50, 50)) is None


def test_a_removed_job_leaves_nothing_behind() -> None:
    waiting = queue(budget=50)
    gone, kept = job("a", 50, 20, 20), job("b", 10)
    waiting.submit(gone)
    waiting.take()
    waiting.submit(kept)
    waiting.remove(gone)
    waiting.remove(gone)
    assert waiting.num_tokens == 10
    assert drained(waiting) == [[(kept, 0)]]


def test_a_budget_below_the_longest_input_is_refused() -> None:
    with pytest.raises(ValueError, match="must cover the longest input"):
        EncoderLimits(max_model_len=51, token_budget=50, max_waiting_tokens=1)
