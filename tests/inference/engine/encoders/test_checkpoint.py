"""What an encoder's folder is for, told without loading it; why it cannot be served."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, LlamaConfig, PretrainedConfig, T5Config

from inference.engine.check import describe
from inference.engine.encoders.checkpoint import EncoderFacts, encoder_facts
from tests.inference.engine.encoders.checkpoints import CONFIGS, LENGTH, write_modules


def save(folder: Path, config: PretrainedConfig, architecture: str) -> str:
    config.architectures = [architecture]
    config.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_a_plain_encoder_makes_embeddings_by_the_mean_of_length_one(
    tmp_path: Path, family: str
) -> None:
    path = save(tmp_path, CONFIGS[family], "SomeModel")
    assert encoder_facts(path) == EncoderFacts("embeddings", LENGTH, "mean", normalised=True)


def test_a_masked_language_model_fills_masks(tmp_path: Path) -> None:
    path = save(tmp_path, CONFIGS["roberta"], "RobertaForMaskedLM")
    assert encoder_facts(path) == EncoderFacts("fill_mask", LENGTH)
    facts = describe(path)
    assert (facts["kind"], facts["max_model_len"], facts["model_type"]) == (
        "fill_mask", LENGTH, "roberta",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("switch", "normalise", "pooling"),
    [("cls_token", True, "cls"), ("mean_tokens", False, "mean")],
)
def test_a_sentence_transformers_folder_says_how(
    tmp_path: Path, switch: str, normalise: bool, pooling: Any
) -> None:
    path = save(tmp_path, CONFIGS["bert"], "BertForMaskedLM")
    write_modules(tmp_path, switch, normalise=normalise, max_seq_length=40)
    assert encoder_facts(path) == EncoderFacts("embeddings", 40, pooling, normalise)


def test_the_newer_way_to_name_a_pooling_is_read(tmp_path: Path) -> None:
    path = save(tmp_path, CONFIGS["bert"], "BertModel")
    write_modules(tmp_path, "mean_tokens")
    settings = tmp_path / "1_Pooling" / "config.json"
    settings.write_text(json.dumps({"pooling_mode": "cls"}))
    facts = encoder_facts(path)
    assert facts is not None
    assert facts.pooling == "cls"


@pytest.mark.parametrize(
    ("config", "architecture"),
    [
        (LlamaConfig(), "LlamaForCausalLM"),
        (BertConfig(is_decoder=True), "BertLMHeadModel"),
        (T5Config(), "T5ForConditionalGeneration"),
    ],
)
def test_a_decoder_is_none_of_ours(
    tmp_path: Path, config: PretrainedConfig, architecture: str
) -> None:
    assert encoder_facts(save(tmp_path, config, architecture)) is None


def test_a_head_for_another_task_is_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, CONFIGS["bert"], "BertForSequenceClassification")
    with pytest.raises(ValueError, match="BertForSequenceClassification is made for another task"):
        encoder_facts(path)


def test_another_pooling_is_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, CONFIGS["bert"], "BertModel")
    write_modules(tmp_path, "max_tokens")
    with pytest.raises(ValueError, match="pooling is max_tokens, not mean or cls"):
        encoder_facts(path)


def test_modules_that_would_be_left_out_are_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, CONFIGS["bert"], "BertModel")
    write_modules(tmp_path, "mean_tokens")
    listed = json.loads((tmp_path / "modules.json").read_text())
    listed.insert(2, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (tmp_path / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match="Transformer, Pooling, Dense, Normalize; supported"):
        encoder_facts(path)


def test_a_decoder_that_makes_embeddings_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, LlamaConfig(), "LlamaModel")
    write_modules(tmp_path, "mean_tokens")
    with pytest.raises(ValueError, match="is no encoder"):
        encoder_facts(path)
