"""What a tenant was served counts for as long as others are behind it."""

from collections import Counter

from inference.engine.fairness import TenantCounters, who_has_too_much


def test_who_pauses_is_not_forgiven_what_others_have_not_had() -> None:
    counters = TenantCounters()
    counters.lift("alice", set())
    counters.lift("bob", {"alice"})
    counters.charge_prompt("bob", 100)
    counters.lift("charlie", {"alice"})  # while bob is away
    counters.lift("bob", {"alice", "charlie"})
    assert [counters.served(name) for name in ("alice", "bob", "charlie")] == [0, 100, 0]


def test_a_newcomer_begins_beside_the_one_who_was_served_least() -> None:
    counters = TenantCounters()
    counters.lift("alice", set())
    counters.lift("bob", {"alice"})
    counters.charge_prompt("alice", 10)
    counters.charge_prompt("bob", 100)
    counters.lift("charlie", {"alice", "bob"})
    assert counters.served("charlie") == 10


def test_what_was_served_while_nobody_else_came_is_forgotten_with_the_last_one() -> None:
    counters = TenantCounters()
    counters.lift("bob", set())
    counters.charge_prompt("bob", 100)
    counters.lift("alice", set())  # all had ended
    counters.lift("bob", {"alice"})
    assert counters.served("bob") == counters.served("alice")


def test_an_output_token_counts_twice_a_prompt_token() -> None:
    counters = TenantCounters()
    counters.charge_prompt("alice", 2)
    counters.charge_output("bob")
    assert counters.served("alice") == counters.served("bob") > 0


def test_who_has_an_equal_share_gives_nothing_up() -> None:
    assert who_has_too_much(Counter(alice=8, bob=4), 16, "bob", 4) is None
    assert who_has_too_much(Counter(alice=9, bob=4), 16, "bob", 4) == "alice"
    assert who_has_too_much(Counter(alice=9, bob=4), 16, "bob", 5) is None  # more than its share
