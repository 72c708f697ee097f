"""Who is refused when the queue is full: shown on integers, without a model."""

import random

from inference.engine.crowd import EXPECTED_S, Coming, Places, num_before, who_gives_way
from inference.engine.request import FinishReason
from tests.inference.engine.desk import Desk, make


def test_it_refuses_when_the_queue_is_full() -> None:
    desk = Desk(make(max_running=1, max_waiting=2))
    sequences = [desk.submit([n]) for n in range(5)]
    assert [s.finish_reason for s in sequences[3:]] == [FinishReason.OVERLOADED] * 2
    assert not any(s.finished for s in sequences[:3])


def test_it_refuses_the_flood_and_not_the_polite_tenant() -> None:
    desk = Desk(make(max_running=1, max_waiting=3))
    flood = [desk.submit([n], "flood") for n in range(4)]
    polite = desk.submit([9], "polite")
    assert not polite.finished
    assert [s.finished for s in flood] == [False, False, False, True]


def test_nobody_gives_way_to_one_who_then_would_have_as_many() -> None:
    def gives_way(alices: int, bobs: int) -> bool:
        return who_gives_way("bob", 0, Places({(0, "alice"): alices, (0, "bob"): bobs})) is not None

    assert [gives_way(alices, 0) for alices in (1, 2, 3)] == [False, False, True]
    assert [gives_way(alices, 2) for alices in (3, 4, 5)] == [False, False, True]


def test_it_says_beforehand_for_whom_it_is_full() -> None:
    desk = Desk(make(max_running=2, max_waiting=4))
    comers = random.Random(12)
    answers = set()
    for number in range(100):
        tenant, priority = comers.choice("aaabbc"), comers.choice([0, 0, 0, 1])
        full = desk.scheduler.is_full_for(tenant, priority, Places())
        assert desk.submit([number], tenant, priority=priority).finished == full
        answers.add(full)
        if number % 5 == 0:
            desk.step()
    assert answers == {True, False}


def test_when_the_queue_is_full_the_lowest_priority_is_refused() -> None:
    desk = Desk(make(max_running=1, max_waiting=2))
    batch = [desk.submit([n], priority=1) for n in range(3)]
    person, other = desk.submit([9]), desk.submit([8], "other")
    assert [s.finished for s in batch] == [False, True, True]
    assert not person.finished
    assert not other.finished
    assert desk.submit([7], priority=1).finished


def test_what_has_begun_is_not_refused_for_a_newcomer() -> None:
    desk = Desk(make(max_running=2, max_waiting=0))
    _, begun = (desk.submit([n], max_tokens=9) for n in range(2))
    desk.step()
    desk.scheduler._preempt(begun)
    newcomer = desk.submit([9], priority=-1)
    assert newcomer.finish_reason is FinishReason.OVERLOADED
    desk.run()
    assert begun.num_generated == 9


def test_who_is_expected_and_comes_is_counted_once_until_it_arrives() -> None:
    coming, place = Coming(), (0, "alice")
    coming.expect(place, 2, now=10.0)
    coming.send(place)
    assert coming.count(10.0) == {place: 2}
    coming.receive(place)
    assert coming.count(10.0) == {place: 1}
    for _ in range(2):
        coming.send(place)  # one that was expected, and one that was not
    coming.receive(place)
    assert coming.count(10.0) == {place: 1}
    coming.receive(place)
    coming.expect(place, 1, now=10.0)
    assert coming.count(10.1 + EXPECTED_S) == {}


def test_those_of_a_lower_number_start_before_whoever_they_are() -> None:
    lengths = Places({(0, "alice"): 5, (1, "alice"): 3, (1, "bob"): 2, (2, "bob"): 7})
    assert num_before("bob", 1, lengths) == 5 + 3 + 2
    assert num_before("charlie", 1, lengths) == 5 + 1 + 1
    assert num_before("charlie", 0, lengths) == 1
    assert num_before("alice", 1, lengths) == 5 + 3 + 2
