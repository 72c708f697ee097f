"""Which checkpoints are encoders, what for, and how their vectors are made.

Told from the configuration and the small files of a sentence-transformers folder alone.
"""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES
from transformers.utils.hub import cached_file

from inference.engine.support import check_form_of_weights, read_config

Kind = Literal["embeddings", "fill_mask"]
Pooling = Literal["mean", "cls"]

# Their positions begin behind that of the padding token.
OFFSET_POSITIONS = frozenset(
    {
        "camembert",
        "data2vec-text",
        "ibert",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
# sentence-transformers has written either of two: a name, or a switch for each.
POOLING_SWITCHES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True, slots=True)
class EncoderFacts:
    """What is served, and how. Pooling and normalisation are of embeddings."""

    kind: Kind
    max_model_len: int
    pooling: Pooling = "mean"
    normalised: bool = True


def encoder_facts(path: str) -> EncoderFacts | None:
    """Return what an encoder's checkpoint is for; None when it is a decoder's.

    ValueError with the reason when it is an encoder that cannot be served, or a folder that is not
    there: the Hub's library would take its name for an id, and find fault with that.
    """
    if path.startswith(("/", ".")) and not Path(path).is_dir():
        raise ValueError(f"{path}: there is no such folder.")
    config = read_config(path)
    modules = _read_json(path, "modules.json")
    if not _is_encoder(config):
        if modules is not None:
            raise ValueError(f"{config.model_type} makes embeddings, but is no encoder.")
        return None
    check_form_of_weights(config)
    if modules is not None:
        pooling, normalised = _read_modules(path, modules)
        return EncoderFacts("embeddings", _length(path, config), pooling, normalised)
    architecture = (config.architectures or ["Model"])[0]
    if architecture.endswith("ForMaskedLM") or architecture == "BertForPreTraining":
        return EncoderFacts("fill_mask", _length(path, config))
    if architecture.endswith("Model"):
        return EncoderFacts("embeddings", _length(path, config))
    raise ValueError(
        f"{architecture} is made for another task; of encoders, models that make embeddings and "
        "masked language models are supported."
    )


def _is_encoder(config: PretrainedConfig) -> bool:
    """Whether a masked language model of this family exists and it is not set up as a decoder."""
    architecture = (config.architectures or [""])[0]
    return (
        config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        and not getattr(config, "is_decoder", False)
        and not getattr(config, "is_encoder_decoder", False)
        and not architecture.endswith(("LMHeadModel", "ForCausalLM"))
    )


def _read_modules(path: str, modules: Any) -> tuple[Pooling, bool]:
    """Return the pooling of a sentence-transformers model, and whether it normalises."""
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ValueError(
            f"Its modules are {', '.join(kinds)}; supported are Transformer, Pooling and Normalize."
        )
    if modules[0]["path"]:
        raise ValueError(f"Its model lies in {modules[0]['path']!r}; it has to lie at the top.")
    settings = _read_json(path, str(PurePosixPath(modules[1]["path"]) / "config.json")) or {}
    named = settings.get("pooling_mode")
    modes = [named] if named else [
        POOLING_SWITCHES.get(key, key.removeprefix("pooling_mode_"))
        for key, value in settings.items()
        if key.startswith("pooling_mode_") and value
    ]  # fmt: skip
    if modes == ["mean"]:
        return "mean", "Normalize" in kinds
    if modes == ["cls"]:
        return "cls", "Normalize" in kinds
    raise ValueError(
        f"Its pooling is {', '.join(map(str, modes)) or 'not known'}, not mean or cls."
    )


def _length(path: str, config: PretrainedConfig) -> int:
    """Return the longest input in tokens: what the model has positions for, or says it can do."""
    positions = int(config.max_position_embeddings)
    if config.model_type in OFFSET_POSITIONS:
        positions -= int(config.pad_token_id or 0) + 1
    settings = _read_json(path, "sentence_bert_config.json") or {}
    return min(positions, int(settings.get("max_seq_length") or positions))


def _read_json(path: str, name: str) -> Any:
    """Return a file of a folder or of a model on the Hub; None when there is none."""
    found = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
    if found is None:
        return None
    with open(found, encoding="utf-8") as file:  # noqa: PTH123  (a path as transformers gives it)
        return json.load(file)
