"""Log-probabilities of completions, as evaluation harnesses read them."""

import math
from dataclasses import replace

from inference.alignment import Alignment
from inference.api.logprobs import CompletionLogprobs
from inference.spec import TokenLogprob

Top = tuple[tuple[int, bytes, float], ...]
RANKED: Top = ((1, b" a", -0.5), (2, b" b", -1.0), (3, b" c", -3.0))


def entry(token_id: int, raw: bytes, logprob: float | None, top: Top = RANKED) -> TokenLogprob:
    return TokenLogprob(token_id, raw, logprob, top)


def test_the_scored_token_is_there_though_it_is_not_among_the_likeliest() -> None:
    lists = CompletionLogprobs(num_top=2).lists([entry(9, b" z", -7.0)])
    assert lists["top_logprobs"] == [{" a": -0.5, " b": -1.0, " z": -7.0}]
    assert lists["token_logprobs"] == [-7.0]
    among = CompletionLogprobs(num_top=2).lists([entry(2, b" b", -1.0)])
    assert among["top_logprobs"] == [{" a": -0.5, " b": -1.0}]
    alone = CompletionLogprobs(num_top=0).lists([entry(2, b" b", -1.0)])
    assert alone["top_logprobs"] == [{" b": -1.0}]


def test_of_equally_likely_tokens_the_scored_one_is_the_greediest() -> None:
    equal: Top = ((1, b" a", -0.5), (2, b" b", -0.5))
    [top] = CompletionLogprobs(num_top=1).lists([entry(2, b" b", -0.5, equal)])["top_logprobs"]
    assert max(top, key=lambda token: top[token]) == " b"


def test_tokens_spelt_alike_are_the_likelier_one() -> None:
    alike: Top = ((1, b"x", -0.5), (2, b"x", -2.0))
    [top] = CompletionLogprobs(num_top=2).lists([entry(1, b"x", -0.5, alike)])["top_logprobs"]
    assert top == {"x": -0.5}


def test_the_first_token_of_a_prompt_has_none_and_what_is_impossible_has_a_number() -> None:
    lists = CompletionLogprobs(num_top=1).lists(
        [entry(5, b"A", None, ()), entry(6, b"B", -math.inf, ((1, b" a", -0.1),))]
    )
    assert lists["token_logprobs"] == [None, -9999.0]
    assert lists["top_logprobs"] == [None, {" a": -0.1, "B": -9999.0}]


def test_offsets_count_characters_though_tokens_cut_them() -> None:
    built = CompletionLogprobs(num_top=0)
    cut = [entry(1, b"a", -1.0), entry(2, b"\xe4\xbd", -1.0), entry(3, b"\xa0", -1.0)]
    first = built.lists([*cut, entry(4, b"b", -1.0)])
    assert first["tokens"] == ["a", "bytes:\\xe4\\xbd", "bytes:\\xa0", "b"]
    assert first["text_offset"] == [0, 1, 1, 2]
    # A stream goes on where it was.
    assert built.lists([entry(5, b"c", -1.0)])["text_offset"] == [3]


def test_a_character_that_does_not_go_on_is_one_before_the_next_token() -> None:
    for broken, following in ((b"\xe4", b"b"), (b"\xf0\x9f", b"\xc3"), (b"\xe0", b"\x80")):
        said = [entry(1, b"a", -1.0), entry(2, broken, -1.0), entry(3, following, -1.0)]
        assert CompletionLogprobs(num_top=0).lists(said)["text_offset"] == [0, 1, 2]
        text = b"".join(each.text_bytes for each in said[:2]).decode(errors="replace")
        assert len(text) == 2


def test_what_a_tokenizer_puts_before_an_echoed_text_takes_no_room_in_it() -> None:
    bos, end = entry(0, b"<s>", None), entry(9, b"!", -1.0)
    word, space = entry(1, b"Hi", -1.0), entry(2, b" Hi", -1.0)
    for before in ([bos, word], [bos, space], [space]):
        built = CompletionLogprobs(num_top=0)
        built.echo("Hi", before)
        assert built.lists([*before, end])["text_offset"] == [0] * len(before) + [2]
    written_out = CompletionLogprobs(num_top=0)  # of ids, where nothing is added
    written_out.echo("<s>Hi", [bos, word])
    assert written_out.lists([bos, word, end])["text_offset"] == [0, 3, 5]


def test_special_tokens_take_no_room_in_the_text() -> None:
    said = [entry(1, b"a", -1.0), replace(entry(0, b"<|end|>", -1.0), silent=True)]
    said += [entry(2, b"b", -1.0), entry(3, b"X", -1.0)]
    assert CompletionLogprobs(num_top=0).lists(said)["text_offset"] == [0, 1, 1, 2]
    alignment = Alignment()
    alignment.add(said)
    alignment.advance("ab")  # and "X" ended it
    assert alignment.release(everything=False, last=True) == said[:3]
