"""The starter model's tokenizer: byte-level BPE, learnt from the corpus, exact for any UTF-8 text.

Digits are single tokens, so that sums are made of figures. Nothing is added to a text that is
encoded: no beginning-of-text token, no space. A raw document ends in END_OF_TEXT, a chat message in
END_OF_TURN.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from inference.training.documents import Document

END_OF_TEXT = "<|endoftext|>"
END_OF_TURN = "<|end|>"
ROLE_TOKENS = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
SPECIAL_TOKENS = (END_OF_TEXT, END_OF_TURN, *ROLE_TOKENS.values())

VOCABULARY_SIZE = 4096

# Words with their leading space, figures one by one, runs of Han characters apart from Latin ones.
WORD_PATTERN = (
    r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z\u00C0-\u024F]+|\p{N}| ?\p{L}+"
    r"| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('The roles of this model are system, user and assistant.') }}"
    "{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocabulary_size: int = VOCABULARY_SIZE) -> Tokenizer:
    """Special tokens have the lowest ids, in the order of SPECIAL_TOKENS."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode_document(tokenizer: Tokenizer, document: Document) -> tuple[list[int], list[bool]]:
    """(token ids, which of them the model answers for).

    In a chat those are the assistant's messages with their end mark; in raw text, every token.
    """
    ids: list[int] = []
    answered: list[bool] = []
    for turn in document.turns:
        body = tokenizer.encode(turn.content, add_special_tokens=False).ids
        if turn.role == "text":
            body = [*body, token_id(tokenizer, END_OF_TEXT)]
            opening: list[int] = []
        else:
            body = [*body, token_id(tokenizer, END_OF_TURN)]
            opening = [token_id(tokenizer, ROLE_TOKENS[turn.role])]
        ids += opening + body
        answers = turn.role in ("assistant", "text")
        answered += [False] * len(opening) + [answers] * len(body)
    return ids, answered


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """KeyError for a token that the tokenizer was not trained with."""
    number: int | None = tokenizer.token_to_id(token)
    if number is None:
        raise KeyError(token)
    return number


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context_tokens: int) -> None:
    """The files that `AutoTokenizer.from_pretrained(folder)` reads, chat template included."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_tokens,
        "eos_token": END_OF_TURN,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": list(ROLE_TOKENS.values()),
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
