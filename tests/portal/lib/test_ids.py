"""Identifiers: unique, sortable by time, with a prefix."""

import time

from portal.lib import ids


def test_ids_are_unique_and_carry_their_prefix() -> None:
    made = {ids.new_id("req") for _ in range(1000)}
    assert len(made) == 1000
    assert all(each.startswith("req_") and len(each) == 29 for each in made)


def test_ids_sort_by_the_time_they_were_made() -> None:
    first = ids.new_id("req")
    time.sleep(0.002)
    assert first < ids.new_id("req")


def test_base62_pads_to_its_width() -> None:
    assert ids.base62(0, 3) == "000"
    assert ids.base62(61, 2) == "0z"
    assert ids.base62(62, 2) == "10"
    # Of odd and even numbers of digits.
    assert [ids.base62(62**power, 1) for power in (2, 3, 4)] == ["100", "1000", "10000"]
    assert ids.base62(62**3 - 1, 4) == "0zzz"
