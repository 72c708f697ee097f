"""Events of nothing but text are written around it, byte for byte as the whole object would be."""

import pytest

from inference.api.streams import Blanks, untyped

TEXTS = ("", " word", 'a "quoted"\n\\line', "Grüße, 你好 👋🏽", "\0", '"\\u0000"', "\u2028\x7f\x1b")


def chunk(index: int, text: str) -> dict[str, object]:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": None}
    return {"id": f"x-{index}", "choices": [choice], "usage": None}


@pytest.mark.parametrize("text", TEXTS)
def test_a_filled_blank_is_the_event(text: str) -> None:
    blanks = Blanks()
    for index in (0, 7, 0):
        assert blanks.filled(chunk, index, text) == untyped([chunk(index, text)])
