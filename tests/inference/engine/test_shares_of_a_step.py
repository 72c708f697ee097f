"""What the prompts of several tenants have of a step, and who gives up a place beside them."""

from typing import Any

import pytest

from inference.engine.request import Sequence
from inference.engine.waiting import Waiting
from tests.inference.engine.desk import Desk, make


def test_a_long_prompt_leaves_room_to_those_of_other_tenants() -> None:
    desk = Desk(make(num_blocks=512, max_model_len=512, token_budget=16))
    desk.submit([1] * 500, "alice")
    desk.step()
    short = desk.submit([3] * 5, "bob", max_tokens=1)
    assert [row.num_tokens for row in desk.step().rows] == [11, 5]
    assert short.finished
    assert [row.num_tokens for row in desk.step().rows] == [16]
    # They have equal shares of it.
    desk.submit([4] * 300, "bob")
    assert [row.num_tokens for row in desk.step().rows] == [8, 8]
    desk.submit([5] * 200, "carol")
    assert [row.num_tokens for row in desk.step().rows] == [6, 5, 5]
    desk.run()


def test_but_not_to_those_that_are_as_long() -> None:
    """Side by side the first would end as late as the second."""
    desk = Desk(make(num_blocks=512, max_model_len=512, token_budget=16))
    desk.submit([1] * 200, "alice")
    desk.submit([2] * 200, "bob")
    assert [[row.num_tokens for row in desk.step().rows] for _ in range(12)] == [[16]] * 12
    desk.run()


def test_nor_do_many_long_prompts_of_one_tenant_keep_a_short_one_waiting() -> None:
    desk = Desk(make(num_blocks=600, max_model_len=512, token_budget=16))
    for n in range(8):
        desk.submit([n] * 500, "flood")
    for _ in range(5):
        desk.step()
    short = desk.submit([9] * 5, "polite", max_tokens=1)
    for _ in range(3):
        desk.step()
    assert short.finished
    assert [row.num_tokens for row in desk.step().rows] == [16]  # one after the other again
    desk.run()


def test_nor_does_one_that_waits_to_share_what_the_long_prompt_computes() -> None:
    """It came first and its tenant was served no more, but cannot begin yet."""
    desk = Desk(make(num_blocks=600, max_model_len=512, token_budget=16))
    first, second = (desk.submit([1] * 500, "alice") for _ in range(2))
    desk.step()
    short = desk.submit([9] * 5, "bob", max_tokens=1)
    assert [row.num_tokens for row in desk.step().rows] == [11, 5]
    assert short.finished
    desk.run()
    assert (first.num_cached, second.num_cached) == (0, 496)


def test_a_slot_is_given_up_beside_a_long_prompt_of_another_tenant() -> None:
    desk = Desk(make(num_blocks=512, max_model_len=512, token_budget=16))
    desk.submit([1] * 400, "long", max_tokens=1)
    for n in range(3):
        desk.submit([n], "many", max_tokens=100)
    for _ in range(6):
        desk.step()
    polite = desk.submit([50, 51], "few", max_tokens=1)
    desk.step()
    assert polite.finished
    assert desk.scheduler.num_preemptions == 1
    desk.run()


def test_but_not_beside_one_of_a_higher_priority_that_takes_the_whole_step() -> None:
    desk = Desk(make(num_blocks=512, max_model_len=512, token_budget=16))
    for n in range(3):
        desk.submit([n], "many", max_tokens=100, priority=1)
    desk.step()
    desk.submit([1] * 200, "person", max_tokens=1)
    desk.step()
    polite = desk.submit([50, 51], "few", max_tokens=1, priority=1)
    for _ in range(5):
        desk.step()
    assert polite.num_cached is None
    assert desk.scheduler.num_preemptions == 0
    desk.run()


def test_nothing_is_left_to_one_whose_blocks_are_missing_or_whose_priority_is_lower() -> None:
    desk = Desk(make(num_blocks=130, max_model_len=512, token_budget=16))
    desk.submit([1] * 440, "alice")
    desk.step()
    desk.submit([2] * 400, "bob")
    for _ in range(5):
        assert [row.num_tokens for row in desk.step().rows] == [16]
    other = Desk(make(num_blocks=512, max_model_len=512, token_budget=16))
    other.submit([1] * 440, "alice")
    other.step()
    other.submit([2] * 400, "bob", priority=1)
    assert [row.num_tokens for row in other.step().rows] == [16]


def test_a_step_asks_for_the_next_one_as_often_however_many_prompts_it_cuts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who asks goes through all tenants that wait."""
    desk = Desk(make(num_blocks=40_000, max_model_len=4096, token_budget=64, max_running=32))
    for n in range(40):
        desk.submit([n] * (4000 - 90 * n), f"tenant {n}")  # each leaves room to the next
    for _ in range(40):
        desk.step()
    asked: list[tuple[Any, ...]] = []
    ask = Waiting.next

    def noted(*told: Any) -> Sequence | None:
        asked.append(told)
        return ask(*told)

    monkeypatch.setattr(Waiting, "next", noted)
    plan = desk.step()
    assert len(plan.rows) > 10
    assert len(asked) <= 4
