"""Rows that teach copying, and names that can only be copied."""

import random

import numpy as np

from inference.training.corpus.made_up import made_up_key, made_up_name, made_up_service
from inference.training.corpus.objects import keyed_object
from inference.training.corpus.stories import story
from inference.training.corpus.stories_robot import robot_slots
from inference.training.packing import PackedRows
from inference.training.repetition import SHARE, repetition, with_repetition

SPECIALS, VOCABULARY = 5, 300


def test_most_of_a_row_was_there_before():
    rng = np.random.default_rng(1)
    again = []
    for _ in range(50):
        row = repetition(rng, 512, SPECIALS, VOCABULARY).tolist()
        assert len(row) == 512
        assert min(row) >= SPECIALS
        assert max(row) < VOCABULARY
        seen = set()
        for place in range(4, 512):
            gram = tuple(row[place - 4 : place])
            again.append(gram in seen)
            seen.add(gram)
    assert np.mean(again) > 0.5


def test_rows_are_added_and_the_others_stay():
    rng = np.random.default_rng(2)
    shape = (40, 64)
    rows = PackedRows(
        rng.integers(0, VOCABULARY, shape).astype(np.uint16),
        rng.random(shape) < 0.5,
        rng.integers(0, 3, shape).astype(np.uint8),
    )
    more = with_repetition(rows, SPECIALS, VOCABULARY, seed=3)
    assert len(more) == 40 + 40 * SHARE
    for name in ("tokens", "answered", "segments"):
        assert np.array_equal(getattr(more, name)[:40], getattr(rows, name))
        assert getattr(more, name).dtype == getattr(rows, name).dtype
    assert more.answered[40:].all()
    assert (more.segments[40:] == 1).all()


def test_made_up_names_hardly_ever_come_twice():
    rng = random.Random(4)
    names = [made_up_name(rng) for _ in range(1000)]
    assert len(set(names)) > 950
    assert all(name.isalpha() and name == name.capitalize() for name in names)
    assert all(made_up_service(rng)[0].isupper() for _ in range(100))
    assert all(made_up_key(rng).replace("_", "").islower() for _ in range(100))


def test_they_are_among_the_heroes_and_the_keys():
    rng = random.Random(5)
    heroes = {robot_slots(rng)["N"] for _ in range(300)}
    others = {story(rng)[1]["N"] for _ in range(300)}
    keys = {
        key for _ in range(300) for key in keyed_object(rng)[0].removeprefix("json:").split(",")
    }
    assert all(len(names) > 60 for names in (heroes, others, keys))
