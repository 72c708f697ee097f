"""What a tenant was served counts for as long as others are behind it."""

from inference.engine.fairness import TenantCounters


def test_who_pauses_is_not_forgiven_what_others_have_not_had() -> None:
    counters = TenantCounters()
    counters.lift("alice", set())
    counters.lift("bob", {"alice"})
    counters.charge_prompt("bob", 100)
    counters.lift("charlie", {"alice"})  # while bob is away
    counters.lift("bob", {"alice", "charlie"})
    assert [counters.served(name) for name in ("alice", "bob", "charlie")] == [0, 100, 0]
