"""What cannot be served is refused with the reason, before anything is loaded."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BloomConfig,
    DogeConfig,
    Gemma2Config,
    Gemma3Config,
    GptOssConfig,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    MiniMaxConfig,
    NemotronConfig,
    PretrainedConfig,
    Qwen2Config,
    T5Config,
)

from inference.engine.check import describe
from inference.engine.family import FAMILIES, misfit
from inference.engine.model import HuggingFaceModel, load_model
from inference.engine.support import check_supported, longest_text, supported_config
from tests.inference.engine.tiny import CONFIGS, random_module

_SMALL = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_it_accepts_the_tested_families(name: str) -> None:
    check_supported(CONFIGS[name])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (T5Config(), "encoder-decoder"),
        (Gemma3Config(), "made of several models"),
        (BloomConfig(), "attention interface"),
        (MambaConfig(), "attention interface"),
        (MiniMaxConfig(), "unsupported kind: linear_attention"),
        (Llama4TextConfig(), "unsupported kind: chunked_attention"),
        (LlamaConfig(mamba_d_state=16), "unsupported kind: state space"),
        (Gemma2Config(), "soft-capped attention scores"),
        (LlamaConfig(alibi=True), "ALiBi position biases"),
        (LlamaConfig(rope_parameters={"rope_type": "spiral"}), "in an unknown way: spiral"),
        (
            BertConfig(is_decoder=True, position_embedding_type="relative_key"),
            "relative position biases",
        ),
    ],
    ids=lambda value: getattr(value, "model_type", None),
)
def test_it_says_why_it_refuses(config: PretrainedConfig, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_supported(config)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (NemotronConfig(num_key_value_heads=2, **_SMALL), "do not hand extra arguments"),
        (
            GptOssConfig(num_key_value_heads=2, head_dim=12, num_local_experts=4, **_SMALL),
            "needs s_aux",
        ),
        (DogeConfig(num_key_value_heads=2, **_SMALL), "has a mask of its own"),
    ],
    ids=lambda value: getattr(value, "model_type", None),
)
def test_a_loaded_model_whose_attention_wants_more_is_refused(
    config: PretrainedConfig, reason: str
) -> None:
    """What a configuration does not show."""
    check_supported(config)
    with pytest.raises(ValueError, match=reason):
        HuggingFaceModel(AutoModelForCausalLM.from_config(config, dtype=torch.float32))


def test_it_refuses_a_configuration_without_a_causal_model() -> None:
    class OddConfig(BertConfig):
        model_type = "odd"

    with pytest.raises(ValueError, match="no causal language model"):
        check_supported(OddConfig())


@pytest.mark.parametrize("name", ["llama", "llama-tied"])
def test_weights_that_are_missing_are_named_and_not_made_up(name: str, tmp_path: Path) -> None:
    random_module(name).save_pretrained(tmp_path)
    load_model(str(tmp_path), torch.device("cpu"), torch.float32)
    weights = load_file(tmp_path / "model.safetensors")
    for layer in (1, 2):
        del weights[f"model.layers.{layer}.mlp.down_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lack model\.layers\.1\.mlp.* and 1 more"):
        load_model(str(tmp_path), torch.device("cpu"), torch.float32)


def test_weights_of_another_size_than_the_configuration_says_are_named(tmp_path: Path) -> None:
    random_module("llama").save_pretrained(tmp_path)
    change_config(tmp_path, vocab_size=300)
    with pytest.raises(ValueError, match=r"Its lm_head\.weight is of 312 by 48 numbers, .* 300 by"):
        load_model(str(tmp_path), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(
    ("name", "senseless", "reason"),
    [
        (
            "llama",
            {"rope_parameters": {"rope_type": None}},
            "turns positions in an unknown way: No",
        ),
        ("llama", {"rope_parameters": {"rope_type": "yarn"}}, "Missing required keys .*'factor'"),
        ("phi3", {"rope_scaling": {"type": "su"}}, "Missing required keys .*'original_max_posit"),
        ("llama", {"rms_norm_eps": "1e-5"}, "field 'rms_norm_eps': TypeError: .* got str"),
        ("llama", {"quantization_config": "awq"}, "'str' object has no attribute"),
        ("llama", {"quantization_config": {"quant_method": "gptq"}}, "missing .* argument: 'bits'"),
        ("mistral", {"sliding_window": 0}, "mistral is for texts of 0 tokens"),
        ("llama", {"max_position_embeddings": -5}, "llama is for texts of -5 tokens"),
    ],
    ids=str,
)
def test_a_configuration_that_makes_no_sense_is_refused_in_one_line(
    name: str, senseless: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    """By who adds a model, who shows the last line of what the check says, and by an engine."""
    CONFIGS[name].save_pretrained(tmp_path)
    change_config(tmp_path, **senseless)
    for asked in (describe, supported_config):
        with pytest.raises(ValueError, match=reason) as refusal:
            asked(str(tmp_path))
        assert "\n" not in str(refusal.value)


def test_a_configuration_of_which_no_model_can_be_made_is_refused(tmp_path: Path) -> None:
    random_module("llama").save_pretrained(tmp_path)
    change_config(tmp_path, hidden_act="nonsense")
    with pytest.raises(ValueError, match=r"configuration cannot be used: nonsense \(KeyError\)"):
        load_model(str(tmp_path), torch.device("cpu"), torch.float32)


def test_a_folder_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        describe(str(tmp_path / "mistyped"))


def test_it_describes_a_checkpoint_by_its_configuration(tmp_path: Path) -> None:
    CONFIGS["llama"].save_pretrained(tmp_path)
    facts = describe(str(tmp_path))
    assert (facts["model_type"], facts["max_model_len"]) == ("llama", 512)


def test_texts_are_as_long_as_all_of_them_rotate_alike(tmp_path: Path) -> None:
    rotation = {
        "rope_type": "longrope", "rope_theta": 1e4, "factor": 8.0,
        "original_max_position_embeddings": 64, "short_factor": [1.0] * 6, "long_factor": [2.0] * 6,
    }  # fmt: skip
    config = LlamaConfig(**_SMALL, rope_parameters=rotation)
    config.save_pretrained(tmp_path)
    assert describe(str(tmp_path))["max_model_len"] == 64
    config.rope_parameters = {"full_attention": rotation}
    assert longest_text(config) == 64


def change_config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("window", [512, 64])
@pytest.mark.parametrize("name", ["mistral", "phi3", "starcoder2"])
def test_texts_are_no_longer_than_a_window(name: str, window: int, tmp_path: Path) -> None:
    random_module(name).save_pretrained(tmp_path)
    change_config(tmp_path, sliding_window=window)
    assert describe(str(tmp_path))["max_model_len"] == window
    model = load_model(str(tmp_path), torch.device("cpu"), torch.float32)
    model.verify(16)
    assert (misfit(model) == "") == (name in FAMILIES)


def test_a_window_counts_where_layers_have_it() -> None:
    window: dict[str, Any] = {"sliding_window": 64, "max_window_layers": 1}
    assert longest_text(Qwen2Config(**_SMALL, **window, use_sliding_window=True)) == 64
    assert longest_text(Qwen2Config(**_SMALL, **window, use_sliding_window=False)) == 512
    assert longest_text(LlamaConfig(**_SMALL)) == 512


def test_a_window_of_which_a_configuration_is_silent_is_refused() -> None:
    module = random_module("llama")
    for layer in module.model.layers:
        layer.self_attn.forward = partial(layer.self_attn.forward, sliding_window=64)
    with pytest.raises(ValueError, match="its configuration is silent"):
        HuggingFaceModel(module)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("awq", "AWQ quantized model requires"),
        ("gptq", "GPTQ quantized model requires"),
        ("compressed-tensors", "compressed-tensors"),
        ("homemade", "unknown form: homemade"),
    ],
)
def test_a_form_of_weights_that_cannot_be_read_is_refused_by_its_name(
    method: str, reason: str, tmp_path: Path
) -> None:
    """By who adds a model already, whatever it is for; and by an engine."""
    quantised = {"quantization_config": {"quant_method": method, "bits": 4}}
    random_module("llama").save_pretrained(tmp_path)
    change_config(tmp_path, **quantised)
    with pytest.raises(ValueError, match=reason):
        describe(str(tmp_path))
    with pytest.raises(ValueError, match=reason):
        load_model(str(tmp_path), torch.device("cpu"), torch.float32)
    BertConfig(architectures=["BertModel"]).save_pretrained(tmp_path)
    describe(str(tmp_path))
    change_config(tmp_path, **quantised)
    with pytest.raises(ValueError, match=reason):
        describe(str(tmp_path))


def test_a_form_of_weights_that_can_be_read_is_none_to_refuse(tmp_path: Path) -> None:
    random_module("llama").save_pretrained(tmp_path)
    change_config(tmp_path, quantization_config={"quant_method": "fp8"})
    assert describe(str(tmp_path))["model_type"] == "llama"
