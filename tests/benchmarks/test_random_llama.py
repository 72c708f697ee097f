"""The random models of the benchmark: what every engine is given to serve."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from benchmarks.random_llama import SHAPES, STARTER, widen, words_of


@pytest.fixture(scope="module")
def starter() -> Tokenizer:
    return Tokenizer.from_file(str(STARTER / "tokenizer.json"))


@pytest.mark.parametrize(("name", "millions"), [("10m", 10.49), ("111m", 111.0)])
def test_the_shapes_are_as_large_as_their_names_say(name: str, millions: float) -> None:
    assert SHAPES[name].num_parameters / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("name", SHAPES)
def test_a_wider_tokenizer_encodes_the_same_and_has_a_text_for_every_id(
    name: str, starter: Tokenizer, tmp_path: Path
) -> None:
    content = json.loads((STARTER / "tokenizer.json").read_text())
    before = len(content["model"]["vocab"])
    widen(content, SHAPES[name].vocabulary)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    wide = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert wide.get_vocab_size() == SHAPES[name].vocabulary
    text = "The cat sat on the mat, and then there were 12 of them. 你好"
    assert wide.encode(text).ids == starter.encode(text).ids
    assert all(wide.decode([number]).strip() for number in range(before, wide.get_vocab_size()))


def test_a_prompt_of_words_has_a_token_for_each(starter: Tokenizer) -> None:
    words = [word.removeprefix("Ġ") for word in words_of(json.loads(starter.to_str()))][:100]
    assert len(starter.encode(" " + " ".join(words)).ids) == 100
