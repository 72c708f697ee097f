"""Random Llamas that every engine can load: weights, configuration and tokenizer, made on the spot.

The tokenizer is the starter's, whose words stay one token each. Its vocabulary is filled up to the
shape's by pairs of words that its pre-tokenizer never lets meet: encoding stays what it was, and
every id a random model samples has a text.
"""

import itertools
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STARTER = Path(__file__).parents[1] / "inference" / "starter"
WORD = re.compile(r"Ġ[a-z]{2,}")
CONTEXT = 2048


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int

    @property
    def num_parameters(self) -> int:
        """Input and output embeddings are one matrix."""
        kv_width = self.hidden // self.heads * self.kv_heads
        attention = 2 * self.hidden * (self.hidden + kv_width)
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.vocabulary * self.hidden + self.layers * layer + self.hidden


SHAPES = {
    "10m": Shape(8192, hidden=256, intermediate=1024, layers=8, heads=4, kv_heads=4),
    "111m": Shape(32768, hidden=768, intermediate=2080, layers=12, heads=12, kv_heads=12),
}


def make(shape: Shape, folder: Path) -> None:
    """Write a checkpoint in bfloat16; the same one every time."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        # No id ends a generation: `transformers serve` cannot be asked to ignore it.
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    assert model.num_parameters() == shape.num_parameters
    model.save_pretrained(folder)
    # Plain sampling everywhere: transformers would add a top-k of 50, and vLLM follows this file.
    plain = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "pad_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(plain))
    tokenizer = json.loads((STARTER / "tokenizer.json").read_text())
    widen(tokenizer, shape.vocabulary)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    settings = json.loads((STARTER / "tokenizer_config.json").read_text())
    settings["model_max_length"] = CONTEXT
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def widen(tokenizer: dict[str, Any], size: int) -> None:
    """Add tokens of two words each until the vocabulary has `size`."""
    vocabulary, merges = tokenizer["model"]["vocab"], tokenizer["model"]["merges"]
    words = words_of(tokenizer)
    for first, second in itertools.product(words, words):
        if len(vocabulary) >= size:
            return
        if first + second not in vocabulary:
            vocabulary[first + second] = len(vocabulary)
            merges.append([first, second])
    raise ValueError(f"Two words of this tokenizer each do not make {size} tokens.")


def words_of(tokenizer: dict[str, Any]) -> list[str]:
    """Return the tokens that are a space and a word, in the order of their ids."""
    return [token for token in tokenizer["model"]["vocab"] if WORD.fullmatch(token)]


def describe(shape: Shape) -> dict[str, int]:
    return {"parameters": shape.num_parameters, **asdict(shape)}
