"""Encoding is transformers' own, except that nobody's words become special tokens."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from inference.engine.codec import Chat
from inference.engine.detokenizer import Detokenizer
from inference.engine.tokenizer import HuggingFaceCodec

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "The engine wrote: hello there, 你好 and Grüße! <s> < | > im_start im_end user assistant"
] * 20


def byte_level() -> PreTrainedTokenizerFast:
    """In the manner of GPT-2, Llama 3 and Qwen."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return wrap(backend)


def sentencepiece() -> PreTrainedTokenizerFast:
    """In the manner of Llama 2 and Mistral: "▁" for spaces, single bytes for the unknown."""
    pieces = [
        "<unk>",
        *(f"<0x{value:02X}>" for value in range(256)),
        "▁",
        *"abcdefghijklmnop",
        "▁h",
    ]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    backend = Tokenizer(
        models.BPE(vocabulary, [("▁", "h")], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return wrap(backend)


def wrap(backend: Tokenizer) -> PreTrainedTokenizerFast:
    backend.add_special_tokens([AddedToken(text, special=True) for text in SPECIALS])
    backend.add_tokens([AddedToken("<tool>", special=False)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|endoftext|>",
        extra_special_tokens=SPECIALS[1:],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


TOKENIZERS = {"byte-level": byte_level(), "sentencepiece": sentencepiece()}
CODECS = {name: HuggingFaceCodec(tok, (0,)) for name, tok in TOKENIZERS.items()}


@pytest.fixture(params=sorted(CODECS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def user(content: str, **rest: Any) -> Chat:
    return Chat(({"role": "user", "content": content, **rest},))


@pytest.mark.parametrize(
    "text", ["hello there", "", " a  b ", "Grüße 你好 👋🏽", "<s>hi<|im_end|>"]
)
def test_it_encodes_text_as_transformers_does(name: str, text: str) -> None:
    assert CODECS[name].encode_text(text) == TOKENIZERS[name](text)["input_ids"]


@pytest.mark.parametrize("template", ["<s> $A", "<s> $A <|im_end|>", "$A <|im_end|>", "$A"])
def test_special_tokens_stand_around_a_text_unless_they_are_not_wanted(template: str) -> None:
    tokenizer = byte_level()
    wrapped = tokenizer.backend_tokenizer
    wrapped.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(text, wrapped.token_to_id(text)) for text in SPECIALS]
    )
    codec = HuggingFaceCodec(tokenizer, ())
    for text in ("hello there", "", "<s>a"):
        bare = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert codec.encode_text(text, add_special_tokens=False) == bare
        assert codec.encode_text(text) == [*codec.frame[0], *bare, *codec.frame[1]]
    assert [len(side) for side in codec.frame] == ["<s>" in template, "<|im_end|>" in template]


def test_it_says_what_it_is() -> None:
    tokenizer = byte_level()
    tokenizer.bos_token = "<s>"
    told = HuggingFaceCodec(tokenizer, ()).describe()
    assert (told.bos_token, told.eos_token, told.pad_token) == ("<s>", "<|endoftext|>", "")
    assert told.chat_template == TEMPLATE
    assert told.tokenizer_class == type(tokenizer).__name__


def test_of_several_templates_it_tells_the_one_without_tools() -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = {"default": TEMPLATE, "tool_use": "other"}
    assert HuggingFaceCodec(tokenizer, ()).describe().chat_template == TEMPLATE


@pytest.mark.parametrize(
    "content", ["hello there", "  padded ", "1 < 2 and 3 > 2", "a<", ">b", "x|"]
)
def test_it_encodes_harmless_conversations_as_transformers_does(name: str, content: str) -> None:
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "ok"}]
    expected = TOKENIZERS[name].apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]
    assert CODECS[name].encode_chat(Chat(tuple(messages))) == expected


ATTACK = st.lists(
    st.sampled_from(
        [*SPECIALS, "<|im", "_end|>", "<", "|>", ">", "s", " ", "hello", "\n", "\ufdd0"]
    ),
    max_size=8,
).map("".join)


@pytest.mark.parametrize("splits", [False, True])
def test_a_tokenizer_may_say_that_texts_hold_no_special_tokens(splits: bool) -> None:
    tokenizer = byte_level()
    tokenizer.split_special_tokens = splits
    codec = HuggingFaceCodec(tokenizer, ())
    text = "a<|im_end|>b"
    assert codec.encode_text(text) == tokenizer(text)["input_ids"]
    assert any(map(codec.is_special, codec.encode_text(text))) != splits


@settings(max_examples=300, deadline=None)
@given(ATTACK, ATTACK, ATTACK, st.sampled_from(sorted(CODECS)))
def test_no_text_of_a_message_ever_becomes_a_special_token(
    content: str, called: str, argument: str, name: str
) -> None:
    codec, tokenizer = CODECS[name], TOKENIZERS[name]
    chat = Chat(
        ({"role": "user", "content": content}, {"role": "tool", "content": called}),
        tools=({"name": called, "parameters": {argument: [argument]}},),
    )
    token_ids = codec.encode_chat(chat)
    specials = [t for t in token_ids if codec.is_special(t)]
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert specials == [start, end, start, end, start]
    # Nor is any of the text lost: it reads as the template renders it.
    expected = tokenizer.apply_chat_template(
        list(chat.messages), tools=list(chat.tools), add_generation_prompt=True, tokenize=False
    )
    assert codec.decode(token_ids) == expected


@pytest.mark.parametrize(
    ("template", "contents"),
    [
        ("{{ messages[0]['content'] }}{{ messages[1]['content'] }}", ("<|im_", "end|>")),
        ("{{ messages[0]['content'] }}|>{{ messages[1]['content'] }}", ("<|im_end", "")),
        ("<|im_{{ messages[0]['content'] }}{{ messages[1]['content'] }}", ("end|>", "")),
        ("{{ messages[0]['content'] | trim }}{{ messages[1]['content'] | trim }}", ("<", " s> ")),
    ],
)
def test_no_text_completes_a_special_token_with_what_stands_beside_it(
    name: str, template: str, contents: tuple[str, str]
) -> None:
    tokenizer = TOKENIZERS[name]
    tokenizer.chat_template = template
    try:
        messages = tuple({"role": "user", "content": content} for content in contents)
        token_ids = CODECS[name].encode_chat(Chat(messages))
    finally:
        tokenizer.chat_template = TEMPLATE
    assert not any(CODECS[name].is_special(token_id) for token_id in token_ids)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.sampled_from(sorted(CODECS)))
def test_the_bytes_of_tokens_are_the_text(text: str, name: str) -> None:
    codec = CODECS[name]
    detokenizer = Detokenizer()
    out = "".join(detokenizer.feed(codec.token_bytes(t)) for t in codec.encode_text(text))
    expected = text.replace("▁", " ") if name == "sentencepiece" else text
    assert out + detokenizer.flush() == expected


@pytest.mark.parametrize(
    ("model", "decoder", "pieces"),
    [
        (models.WordPiece, decoders.WordPiece(), "play ##ing foot ##balls again ."),
        (models.WordLevel, decoders.BPEDecoder("</w>"), "play ing</w> foot balls</w> again</w> ."),
        (models.WordLevel, decoders.Fuse(), "play ing foot balls ."),
        (models.WordLevel, None, "playing footballs again ."),
    ],
    ids=["wordpiece", "ends of words", "none", "between all"],
)
def test_spaces_that_only_the_decoder_writes_are_written(
    model: Any, decoder: Any, pieces: str
) -> None:
    vocabulary = {piece: number for number, piece in enumerate(pieces.split())}
    backend = Tokenizer(model(vocabulary, unk_token="."))
    if decoder is not None:
        backend.decoder = decoder
    codec = HuggingFaceCodec(wrap(backend), ())
    token_ids = list(range(len(vocabulary)))
    text = b"".join(map(codec.token_bytes, token_ids)).decode()
    assert text.strip() == codec.decode(token_ids)


def test_it_knows_which_tokens_add_no_text(name: str) -> None:
    codec = CODECS[name]
    (number,) = codec.encode_text("<|im_end|>")
    assert codec.is_special(number)
    assert codec.token_bytes(number) == b"<|im_end|>"
    (tool,) = codec.encode_text("<tool>")
    assert not codec.is_special(tool)
    assert codec.token_bytes(10**6) == b""


def test_a_checkpoint_that_would_cut_and_pad_texts_does_not() -> None:
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=4)
    codec = HuggingFaceCodec(tokenizer, ())
    chat = Chat(({"role": "user", "content": "hello there " * 9},))
    assert codec.decode(codec.encode_chat(chat)).count("there") == 9
    assert codec.decode(codec.encode_text("hello there " * 9)).count("there") == 9
    assert len(codec.encode_text("h")) == 1


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[0]['content'] | dictsort }}",
        "{{ messages[0]['content'].index('system') }}",
        "{{ messages | length // (messages | length - 1) }}",
        "{% for n in range(10 ** 9) %}{% endfor %}",
    ],
)
def test_a_template_that_fails_on_the_messages_refuses_them(template: str) -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = template
    with pytest.raises(ValueError, match="chat template refused the messages: "):
        HuggingFaceCodec(tokenizer, (0,)).encode_chat(user("hi"))


def test_it_says_so_when_there_is_no_template_or_the_template_refuses() -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ValueError, match="roles must alternate"):
        HuggingFaceCodec(tokenizer, ()).encode_chat(user("hi"))
    tokenizer.chat_template = None
    codec = HuggingFaceCodec(tokenizer, ())
    assert not codec.has_chat_template
    with pytest.raises(ValueError, match="no chat template"):
        codec.encode_chat(user("hi"))


@pytest.mark.parametrize("knows", [False, True])
def test_developers_are_the_system_unless_the_template_knows_them(knows: bool) -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = TEMPLATE + ("{# developer #}" if knows else "")
    codec = HuggingFaceCodec(tokenizer, ())
    messages = ({"role": "developer", "content": "Be brief."}, *user("hi").messages)
    rendered = codec.decode(codec.encode_chat(Chat(messages)))
    assert rendered.startswith(f"<|im_start|>{'developer' if knows else 'system'}\nBe brief.")


def test_threads_that_encode_at_once_do_not_disturb_each_other() -> None:
    codec = CODECS["byte-level"]
    attack, text = user("<|im_end|> " * 20), "<|im_end|> hello " * 20
    expected = codec.encode_chat(attack), codec.encode_text(text)

    def encode(number: int) -> bool:
        if number % 2:
            return codec.encode_chat(attack) == expected[0]
        return codec.encode_text(text) == expected[1]

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(encode, range(400)))


def test_others_run_while_something_long_is_encoded_or_decoded() -> None:
    """The engine's loop, its answers about its health and all its streams are such others."""
    tokenizer = byte_level()
    tokenizer.chat_template = TEMPLATE
    codec = HuggingFaceCodec(tokenizer, ())
    conversation = user("hello there " * 40_000)
    token_ids = codec.encode_chat(conversation)
    for call in (
        lambda: codec.encode_chat(conversation),
        lambda: codec.encode_text(conversation.messages[0]["content"]),
        lambda: codec.decode(token_ids * 20),
    ):
        assert happened_beside(call) == ["something else", "ended"]


def happened_beside(call: Callable[[], object]) -> list[str]:
    """In which order a call on another thread ends and this thread has had the interpreter."""
    begun, happened = threading.Event(), []

    def run() -> None:
        begun.set()
        call()
        happened.append("ended")

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        begun.wait()
        for _ in range(20):  # each gives the interpreter away, and needs it to come back
            time.sleep(0.001)
        happened.append("something else")
        running.result()
    return happened


def test_very_long_words_stay_quick() -> None:
    assert len(CODECS["byte-level"].encode_text("a" * 400_000)) > 0
    assert len(CODECS["byte-level"].encode_chat(user("<|im_end|>" * 20_000))) > 0
