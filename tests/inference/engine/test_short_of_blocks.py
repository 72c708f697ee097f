"""Who waits while its own tenant holds the blocks that it lacks, and who does not wait for it."""

from inference.engine.request import FinishReason, Sequence
from tests.inference.engine.desk import Desk, make


def short_of_blocks() -> tuple[Desk, Sequence, Sequence]:
    """Alice's turn comes before Bob's; her text has most blocks, and her next prompt lacks some."""
    desk = Desk(make(num_blocks=32, max_model_len=128))
    text = desk.submit([1] * 80, max_tokens=40)
    while not text.num_generated:
        desk.step()
    desk.scheduler._counters.charge_prompt("bob", 1000)
    return desk, text, desk.submit([2] * 80, max_tokens=40)


def test_nobody_waits_for_one_who_waits_for_blocks_of_its_own_tenant() -> None:
    desk, text, waiting = short_of_blocks()
    other = desk.submit([3] * 6, "bob")
    desk.step()
    assert other.num_generated == 1
    assert (text.finished, waiting.num_cached) == (False, None)
    desk.run()


def test_another_tenant_that_lacks_blocks_too_gets_its_share_of_them() -> None:
    desk, text, waiting = short_of_blocks()
    other = desk.submit([3] * 44, "bob")
    for _ in range(4):  # one without, three of sixteen tokens
        desk.step()
    assert other.num_generated
    assert (text.finished, text.num_cached, waiting.num_cached) == (False, 0, None)
    assert desk.scheduler.num_preemptions == 1
    desk.run()


def test_what_was_cancelled_or_is_overtaken_by_a_better_priority_takes_no_blocks() -> None:
    desk, _, _ = short_of_blocks()
    other = desk.submit([3] * 44, "bob")
    desk.step()
    desk.scheduler.end(other, FinishReason.CANCELLED)
    desk.step()
    assert (other.block_table, desk.scheduler.num_preemptions) == ([], 0)
    other = desk.submit([3] * 44, "bob")
    desk.step()
    person = desk.submit([4] * 6, "carol", priority=-1)
    desk.step()
    assert (person.num_generated, other.num_cached) == (1, None)
    desk.run()


def test_it_keeps_its_turn_when_its_tenant_holds_no_more_than_its_share() -> None:
    desk, text, waiting = short_of_blocks()
    crowd = [desk.submit([n] * 44, "bob", max_tokens=20) for n in range(3)]
    while crowd[0].num_generated < 2:
        desk.step()
    desk.scheduler.end(text, FinishReason.CANCELLED)
    while waiting.num_cached is None:
        desk.step()
    assert [each.num_cached for each in crowd].count(None) == 2
    desk.run()


def test_what_is_of_a_lower_priority_waits_for_it() -> None:
    desk, _, waiting = short_of_blocks()
    other = desk.submit([3] * 6, "bob", priority=1)
    for _ in range(3):
        desk.step()
    assert (waiting.num_cached, other.num_cached) == (None, None)
    desk.run()


def test_it_takes_the_blocks_of_a_lower_priority_all_the_same() -> None:
    desk = Desk(make(num_blocks=32, max_model_len=128))
    for text in (
        desk.submit([9] * 40, "bob", max_tokens=60, priority=1),
        desk.submit([1] * 68, max_tokens=40),
    ):
        while not text.num_generated:
            desk.step()
    person = desk.submit([2] * 20, max_tokens=1)
    for _ in range(2):
        desk.step()
    assert person.num_cached is not None
    desk.run()
