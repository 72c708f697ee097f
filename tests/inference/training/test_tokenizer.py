"""The tokenizer: exact for any text, figure by figure, and the same for chats as its template."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from inference.training.corpus.common_words import hints
from inference.training.corpus.mixture import split
from inference.training.documents import chat, raw
from inference.training.tokenizer import (
    END_OF_TEXT,
    SPECIAL_TOKENS,
    encode_document,
    save_tokenizer,
    train_tokenizer,
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(
        [*(document.text for document in split(1, 300, held_out=False)), *hints()], 1500
    )


@pytest.fixture(scope="module")
def loaded(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(tokenizer, folder, 2048)
    return AutoTokenizer.from_pretrained(str(folder))


@settings(max_examples=300, deadline=None)
@given(text=st.text())
def test_any_text_comes_back_exactly(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if not any(mark in text for mark in SPECIAL_TOKENS):
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "Crème brûlée 🙂 für 3,50 €", "机器人探索新行星。", "a\tb  c\u200d"]
)
def test_hard_texts_come_back_exactly_through_transformers(loaded, text):
    ids = loaded(text).input_ids
    assert loaded.decode(ids) == text


def test_nothing_is_added_to_a_plain_prompt(loaded, tokenizer):
    assert loaded("Once upon a time").input_ids == tokenizer.encode("Once upon a time").ids
    assert loaded.decode(loaded("Once").input_ids) == "Once"


def test_every_figure_is_a_token_of_its_own(tokenizer):
    tokens = tokenizer.encode("1234 + 56").tokens
    assert [token for token in tokens if any(c.isdigit() for c in token)] == list("123456")


def test_the_template_and_the_training_form_of_a_chat_are_the_same_tokens(loaded, tokenizer):
    document = chat("sum", "en", [("1 + 1", "2"), ("你好", "你好！")], system="Be brief.")
    messages = [{"role": turn.role, "content": turn.content} for turn in document.turns]
    assert loaded.apply_chat_template(messages, tokenize=False) == (
        "<|system|>Be brief.<|end|><|user|>1 + 1<|end|><|assistant|>2<|end|>"
        "<|user|>你好<|end|><|assistant|>你好！<|end|>"
    )
    ids = loaded.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert ids == encode_document(tokenizer, document)[0]


def test_only_what_the_assistant_says_is_answered_for(tokenizer):
    ids, answered = encode_document(
        tokenizer, chat("sum", "en", [("1 + 1", "2"), ("3", "4")], system="Be brief.")
    )
    said = tokenizer.decode(
        [i for i, mark in zip(ids, answered, strict=True) if mark], skip_special_tokens=False
    )
    assert said == "2<|end|>4<|end|>"


def test_a_plain_text_ends_with_the_end_mark_and_is_answered_for_throughout(tokenizer):
    ids, answered = encode_document(tokenizer, raw("page", "en", "A short text."))
    assert tokenizer.decode(ids, skip_special_tokens=False) == "A short text." + END_OF_TEXT
    assert all(answered)


def test_the_template_refuses_a_role_it_does_not_know(loaded):
    with pytest.raises(Exception, match="roles"):
        loaded.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)
