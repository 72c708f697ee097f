"""Text is decided late enough to be right and as early as possible."""

import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inference.engine.detokenizer import Detokenizer
from inference.engine.tool_formats import FORMATS, ToolFormat

LETTERS = st.text(alphabet="abä€👋", max_size=30)
CUTS = st.lists(st.integers(0, 200), max_size=20)
STOPS = st.lists(st.text(alphabet="abä€👋\ufffd", min_size=1, max_size=4), max_size=4).map(tuple)


def truncated(text: str, stops: tuple[str, ...]) -> tuple[str, str]:
    """The plain definition: cut at the first place a stop ends, and the longest one there."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            stop = max(ending, key=len)
            return text[: end - len(stop)], stop
    return text, ""


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def feed(detokenizer: Detokenizer, parts: list[bytes]) -> str:
    text = ""
    for part in parts:
        text += detokenizer.feed(part)
        if detokenizer.stop_reason:
            return text
    return text + detokenizer.flush()


@settings(max_examples=400, deadline=None)
@given(LETTERS, STOPS, CUTS)
@example("aaab", ("aab",), [])  # which begins again before it has failed
@example("abb", ("abä", "b"), [])  # one ends within the beginning of another
def test_it_gives_the_text_up_to_the_first_stop_however_it_is_cut(
    text: str, stops: tuple[str, ...], cuts: list[int]
) -> None:
    detokenizer = Detokenizer(stops)
    got = feed(detokenizer, pieces(text.encode(), cuts))
    assert (got, detokenizer.stop_reason) == truncated(text, stops)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), STOPS, CUTS)
def test_it_gives_any_bytes_as_python_replaces_them(
    data: bytes, stops: tuple[str, ...], cuts: list[int]
) -> None:
    detokenizer = Detokenizer(stops)
    got = feed(detokenizer, pieces(data, cuts))
    assert got == truncated(data.decode(errors="replace"), stops)[0]


CALLING = st.lists(st.sampled_from(["a", "b", "<", "<tool_call>", "{", "[TOOL_CALLS]"])).map(
    "".join
)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS.keys())
@settings(max_examples=100, deadline=None)
@given(CALLING, st.lists(st.sampled_from(["a", "ab", "<", "{", "l"])).map(tuple), CUTS)
@example("a<tool_call>", ("ab",), [1])
@example("a[TOOL_CALLS]", ("ab",), [1])
def test_it_stops_in_what_is_said_and_never_in_a_call(
    form: ToolFormat, text: str, stops: tuple[str, ...], cuts: list[int]
) -> None:
    begins = text.startswith(("{", form.trigger)) if form.whole else form.trigger in text
    said = text if not begins else "" if form.whole else text[: text.index(form.trigger)]
    expected, stop = truncated(said, stops)
    detokenizer = Detokenizer(stops, form)
    got = feed(detokenizer, pieces(text.encode(), cuts))
    assert (got, detokenizer.stop_reason) == (expected + ("" if stop else text[len(said) :]), stop)


@settings(max_examples=200, deadline=None)
@given(LETTERS, STOPS)
def test_it_holds_back_only_what_could_still_become_a_stop(
    text: str, stops: tuple[str, ...]
) -> None:
    detokenizer = Detokenizer(stops)
    out = ""
    for end, char in enumerate(text, start=1):
        out += detokenizer.feed(char.encode())
        if detokenizer.stop_reason:
            return
        held = text[:end].removeprefix(out)
        assert out + held == text[:end]
        assert not held or any(stop.startswith(held) for stop in stops)


def test_it_holds_back_half_a_character() -> None:
    detokenizer = Detokenizer()
    assert [detokenizer.feed(bytes([byte])) for byte in "é€".encode()] == ["", "é", "", "", "€"]


def test_it_ends_half_a_character_with_the_replacement_character() -> None:
    detokenizer = Detokenizer()
    assert detokenizer.feed("👋".encode()[:2]) == ""
    assert detokenizer.flush() == "\ufffd"


def test_it_lets_stop_strings_pass_while_they_may_not_stop() -> None:
    detokenizer = Detokenizer(("no",))
    assert detokenizer.feed(b"no n", may_stop=False) == "no n"
    assert detokenizer.feed(b"o no") == "o "
    assert detokenizer.stop_reason == "no"


@pytest.mark.parametrize("form", [None, *FORMATS.values()], ids=["plain", *FORMATS])
@settings(max_examples=100, deadline=None)
@given(LETTERS, st.integers(0, 8), st.sampled_from(["<", "<a", "a<", "ab"]))
def test_what_came_when_nothing_could_stop_stays_spared(
    form: ToolFormat | None, text: str, num_spared: int, stop: str
) -> None:
    """Also what was not decided then, since a call might have begun with it."""
    text = text.replace("b", "<")
    detokenizer = Detokenizer((stop,), form)
    got = "".join(
        detokenizer.feed(char.encode(), may_stop=index >= num_spared)
        for index, char in enumerate(text)
    )
    got += detokenizer.flush()
    expected, _ = truncated(text[num_spared:], (stop,))
    assert got == text[:num_spared] + expected


class CountingList(list[Any]):
    """Counts how often something is looked up in it."""

    lookups = 0

    def __getitem__(self, index: Any) -> Any:
        self.lookups += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("stop", ["a" * 256, "a" * 255 + "b"])
def test_its_work_is_linear_in_the_text(stop: str) -> None:
    def work(length: int) -> int:
        detokenizer = Detokenizer((stop + "c",))
        assert detokenizer._stops is not None
        counting = detokenizer._stops.goto = CountingList(detokenizer._stops.goto)
        for _ in range(length):
            detokenizer.feed(b"a")
        return counting.lookups

    assert work(4_000) - work(2_000) == work(6_000) - work(4_000) <= 4 * 2_000
