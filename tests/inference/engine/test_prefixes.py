"""Who waits for a prefix that another one is computing, and who does not."""

from inference.engine.request import FinishReason
from tests.inference.engine.desk import Desk, make


def test_it_lets_twins_wait_for_the_prefix_that_is_being_computed() -> None:
    desk = Desk(make(token_budget=64))
    twins = [desk.submit(list(range(13))) for _ in range(4)]
    assert [row.key for row in desk.step().rows] == [twins[0].key]
    plan = desk.step()
    assert [(row.start, row.num_tokens) for row in plan.rows] == [
        (13, 1),
        (12, 1),
        (12, 1),
        (12, 1),
    ]
    assert desk.scheduler.num_cached_tokens == 36


def test_nobody_waits_for_the_prefix_of_one_that_was_cancelled() -> None:
    desk = Desk(make())
    first, twin = (desk.submit(list(range(40))) for _ in range(2))
    desk.step()
    assert 0 < first.num_computed < 40
    desk.scheduler.end(first, FinishReason.CANCELLED)
    desk.run()
    assert (twin.finish_reason, twin.num_cached) == (FinishReason.LENGTH, 16)


def test_nobody_waits_for_the_prefix_of_one_that_is_held() -> None:
    desk = Desk(make())
    first, twin = (desk.submit(list(range(40))) for _ in range(2))
    desk.step()
    first.held = True
    for _ in range(4):
        desk.step()
    assert (first.num_computed, first.num_generated) == (39, 0)
    assert (twin.num_cached, twin.num_generated) == (36, 2)


def test_nobody_waits_for_one_who_waits_for_a_prefix() -> None:
    desk = Desk(make(token_budget=64))
    for _ in range(2):
        desk.submit(list(range(13)))
    stranger = desk.submit([9], "bob", priority=1)
    assert stranger.key in {row.key for row in desk.step().rows}


def test_a_prompt_waits_for_its_prefix_whatever_priority_that_has() -> None:
    desk = Desk(make(num_blocks=512, max_model_len=512))
    desk.submit([1] * 200, priority=1)
    desk.step()
    person = desk.submit([1] * 202, max_tokens=1)
    desk.run()
    assert person.num_cached == 200
