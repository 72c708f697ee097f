"""A trained checkpoint as a folder that `transformers` loads, and the way back.

Weights are written in bfloat16, which halves the file. The model card beside them is written by
hand, since it states measured numbers.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from inference.training.model import ModelShape, StarterModel
from inference.training.tokenizer import END_OF_TEXT, END_OF_TURN, save_tokenizer, token_id


def export(model: StarterModel, tokenizer: Tokenizer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: weight.detach().to("cpu", torch.bfloat16).contiguous()
        for name, weight in model.state_dict().items()
    }
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    _write_json(folder / "config.json", llama_config(model.shape, tokenizer))
    _write_json(folder / "generation_config.json", generation_config(tokenizer))
    save_tokenizer(tokenizer, folder, model.shape.context)


def load_exported(folder: Path, shape: ModelShape) -> StarterModel:
    """The weights that `export` wrote, in float32. RuntimeError if they are of another shape."""
    model = StarterModel(shape)
    model.load_state_dict(load_file(str(folder / "model.safetensors")))
    return model


def llama_config(shape: ModelShape, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "max_position_embeddings": shape.context,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "rms_norm_eps": shape.epsilon,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": stop_ids(tokenizer),
        "pad_token_id": token_id(tokenizer, END_OF_TEXT),
        "dtype": "bfloat16",
    }


def generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """The stop ids, and sampling that suits a small model."""
    return {
        "eos_token_id": stop_ids(tokenizer),
        "pad_token_id": token_id(tokenizer, END_OF_TEXT),
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.95,
    }


def stop_ids(tokenizer: Tokenizer) -> list[int]:
    return [token_id(tokenizer, END_OF_TURN), token_id(tokenizer, END_OF_TEXT)]


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
