"""Compiled grammars stay while they are used, and a while longer as far as memory allows."""

import pytest

from inference.engine.fake_codec import FakeCodec
from inference.engine.grammar import Grammars, NoRoomError, read_vocabulary
from inference.engine.grammar_compiler import GrammarCompiler
from inference.engine.grammar_trial import try_out
from inference.engine.params import Grammar
from tests.inference.engine.grammars import (
    HARD,
    PERSON,
    follow_at_random,
    schema,
)


async def test_a_grammar_in_use_stays_however_many_follow(compiler: GrammarCompiler) -> None:
    grammars = compiler._grammars
    held = grammars.compile(Grammar("regex", "a"))
    grammars.compile(Grammar("regex", "b"))
    for n in range(100):
        grammars.compile(Grammar("regex", f"c{n}"))
    assert grammars.find(Grammar("regex", "a")) is held
    assert grammars.find(Grammar("regex", "b")) is None


async def test_grammars_that_grew_large_do_not_stay(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.engine.grammar.KEPT_BYTES", 8 << 20)
    grammars = compiler._grammars
    small, large, held = Grammar("regex", "a"), HARD["many states"], Grammar("regex", "b")
    grammars.compile(small)
    in_use = grammars.compile(held)
    follow_at_random(grammars.compile(large))
    assert grammars.find(small) is not None
    grammars.compile(Grammar("regex", "c"))
    assert grammars.find(large) is None
    assert grammars.find(held) is in_use
    grammars.compile(Grammar("regex", "d"))
    assert grammars.find(Grammar("regex", "c")) is not None


async def test_no_more_is_compiled_while_many_texts_hold_too_much(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few may hold what they like: they are as many as would be kept without a text."""
    monkeypatch.setattr("inference.engine.grammar.KEPT_BYTES", 4 << 20)
    monkeypatch.setattr("inference.engine.grammar.HELD_BYTES", 8 << 20)
    held = await compiler.compile(HARD["many states"], "alice")
    follow_at_random(held)
    await compiler.compile(Grammar("regex", "a"), "bob")
    monkeypatch.setattr("inference.engine.grammar.NUM_KEPT", 1)
    with pytest.raises(NoRoomError):
        await compiler.compile(Grammar("regex", "b"), "bob")
    assert await compiler.compile(HARD["many states"], "bob") is held
    del held
    await compiler.compile(Grammar("regex", "b"), "bob")


def test_what_is_only_tried_out_is_not_kept() -> None:
    codec = FakeCodec()
    grammars = Grammars(read_vocabulary(codec, codec.vocab_size))
    assert try_out(grammars, schema(PERSON)) == ""
    assert grammars.find(schema(PERSON)) is None


async def test_what_texts_have_made_too_much_of_is_renewed_for_the_next_one(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a grammar that takes too long for the loop to begin it again."""
    monkeypatch.setattr("inference.engine.grammar.RENEWAL_S", -1.0)
    monkeypatch.setattr("inference.engine.grammar.MAX_LEXER_STATES", 150)
    grammar = Grammar("regex", "a[xa]{100}|b[xb]{100}")
    compiled = await compiler.compile(grammar, "alice")

    def takes(text: bytes) -> bool:
        matcher = compiled.start()
        for byte in text:
            matcher.compute_bitmask()
            matcher.try_consume_tokens([byte])
        return not matcher.is_error()

    assert takes(b"a" * 101)
    assert not takes(b"b" * 101)
    assert compiled.start_afresh() is None
    assert await compiler.compile(grammar, "bob") is compiled
    assert takes(b"b" * 101)
    assert await compiler.compile(grammar, "alice") is compiled
