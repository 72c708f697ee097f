"""Tiny random encoders of several families, with a tokenizer of a few words."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = "the quick brown fox jumps over a lazy dog cat sat on mat and ran off ##s ##ing ##ed !"
VOCABULARY = {piece: n for n, piece in enumerate((*SPECIALS, *WORDS.split()))}
LENGTH = 64
_SIZES: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
_PLAIN = _SIZES | {"max_position_embeddings": LENGTH}
_OFFSET = _SIZES | {"max_position_embeddings": LENGTH + 1}
CONFIGS: dict[str, PretrainedConfig] = {
    "bert": BertConfig(**_PLAIN),
    "electra": ElectraConfig(**_PLAIN, embedding_size=32),
    "distilbert": DistilBertConfig(
        vocab_size=len(VOCABULARY), dim=32, hidden_dim=64, n_layers=2, n_heads=4, pad_token_id=0,
        max_position_embeddings=LENGTH, initializer_range=0.3,
    ),
    "modernbert": ModernBertConfig(
        **_PLAIN, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3,
        local_attention=16, global_attn_every_n_layers=2,
    ),
    "roberta": RobertaConfig(**_OFFSET),
    "xlm-roberta": XLMRobertaConfig(**_OFFSET),
    "camembert": CamembertConfig(**_OFFSET),
    # Whatever its configuration says, it takes 1 for the padding.
    "mpnet": MPNetConfig(**_SIZES | {"pad_token_id": 1, "max_position_embeddings": LENGTH + 2}),
}  # fmt: skip


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Words and pieces as BERT has them; says that it cuts and pads, which nobody may do."""
    backend = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    backend.enable_truncation(8)
    backend.enable_padding(length=8)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


def write_encoder(folder: Path, family: str = "bert", *, masked: bool = False) -> Any:
    """Write a checkpoint; return the module, for comparison."""
    torch.manual_seed(0)
    auto = AutoModelForMaskedLM if masked else AutoModel
    module = auto.from_config(CONFIGS[family], dtype=torch.float32).eval()
    module.save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return module


def write_modules(folder: Path, pooling: str, *, normalise: bool = True, **more: Any) -> None:
    """Make it a folder as sentence-transformers writes it."""
    kinds = ["Transformer", "Pooling", "Normalize"][: 3 if normalise else 2]
    modules = [
        {"idx": n, "name": str(n), "path": f"{n}_{kind}" if n else "", "type": f"x.models.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    switches = {
        f"pooling_mode_{name}": name == pooling
        for name in ("cls_token", "mean_tokens", "max_tokens")
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(switches))
    (folder / "sentence_bert_config.json").write_text(json.dumps(more))
