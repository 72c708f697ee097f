"""Which checkpoints the engine can serve, told from the configuration alone.

Loading proves it once more: the first thing a loaded model does is to agree with itself
(`model.verify`). This module exists to refuse early and to say why.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.quantizers.auto import AutoHfQuantizer, get_hf_quantizer

UNSUPPORTED_SETTINGS = {
    "attn_logit_softcapping": "soft-capped attention scores",
    "alibi": "ALiBi position biases",
    "use_alibi": "ALiBi position biases",
    "position_embedding_type": "relative position biases",
}
FULL_ATTENTION, SLIDING = "full_attention", "sliding_attention"
# What transformers does with a configuration that makes no sense: mostly it stumbles.
STUMBLES = (ArithmeticError, AttributeError, LookupError, StrictDataclassError, TypeError)


def read_config(path: str) -> Any:
    """Read the configuration of a checkpoint. ValueError when it makes no sense."""
    with _in_words("Its configuration"):
        return AutoConfig.from_pretrained(path)


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Make a ValueError, in one line, of what transformers stumbles over."""
    try:
        yield
    except STUMBLES as error:
        reason = " ".join(str(error.args[0] if error.args else error).split())
        raise ValueError(f"{what} cannot be used: {reason} ({type(error).__name__}).") from error


def supported_config(path: str) -> Any:
    """Read the configuration of a checkpoint that can be served. ValueError when it cannot."""
    config = read_config(path)
    check_supported(config)
    return config


def check_supported(config: PretrainedConfig) -> None:
    """Raise ValueError with the reason when a model of this configuration cannot be served."""
    name = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(f"{name} is an encoder-decoder model; only decoders are supported.")
    model_class = causal_class(config)
    if model_class is None:
        raise ValueError(f"{name} has no causal language model in the installed transformers.")
    if not getattr(model_class, "_supports_attention_backend", False):
        raise ValueError(
            f"{name} does not go through transformers' attention interface, which the paged cache "
            "needs."
        )
    if not hasattr(config, "max_position_embeddings"):
        raise ValueError(f"{name} is made of several models; only those of text alone are served.")
    kinds = set(getattr(config, "layer_types", None) or [FULL_ATTENTION]) - {FULL_ATTENTION}
    kinds |= {"state space"} & {"state space" for key in vars(config) if key.startswith("mamba")}
    if kinds - {SLIDING}:
        raise ValueError(f"{name} has layers of an unsupported kind: {', '.join(sorted(kinds))}.")
    for key, description in UNSUPPORTED_SETTINGS.items():
        if getattr(config, key, None) not in (None, False, "absolute", "rotary", "rope"):
            raise ValueError(f"{name} uses {description}, which are not supported.")
    unknown = {str(e["rope_type"]) for e in _rotations(config)} - {"default", *ROPE_INIT_FUNCTIONS}
    if unknown:
        raise ValueError(f"{name} turns positions in an unknown way: {', '.join(sorted(unknown))}.")
    if longest_text(config) < 1:
        raise ValueError(f"{name} is for texts of {longest_text(config)} tokens.")
    check_form_of_weights(config)


def check_form_of_weights(config: PretrainedConfig) -> None:
    """Raise ValueError when the weights are in a form (AWQ, GPTQ) that this machine cannot read.

    What is asked is what loading asks first: whether the form's library and device are there.
    """
    form = getattr(config, "quantization_config", None)
    if form is None:
        return
    known: Any = AutoHfQuantizer.supports_quant_method
    reader_of: Any = get_hf_quantizer
    try:
        with _in_words("Its quantization_config"):
            if not known(form):
                raise ValueError(f"Its weights are in an unknown form: {form.get('quant_method')}.")
            reader_of(copy.deepcopy(config), None, None, False, {})
    except (ImportError, RuntimeError) as error:
        raise ValueError(str(error)) from error


def load_weights(path: str, **options: Any) -> tuple[Any, set[str]]:
    """Load a model; return what of it the checkpoint lacks, too.

    ValueError when it cannot be served.
    """
    config = supported_config(path)
    load: Any = AutoModelForCausalLM.from_pretrained
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
    with _in_words("Its configuration"):
        module, told = load(path, config=config, **options)
    check_sizes(told["mismatched_keys"])
    return module, set(told["missing_keys"])


def longest_text(config: PretrainedConfig) -> int:
    """Return up to how many tokens of a text a token is computed from those before it alone.

    LongRoPE turns all tokens of a text in another way as soon as it is longer than those of the
    first training: what the cache holds would not fit any more, nor the shorter texts of the step.
    And a window that no text is longer than is none.
    """
    changing = (
        int(each["original_max_position_embeddings"])
        for each in _rotations(config)
        if each["rope_type"] == "longrope"
    )
    return min([int(config.max_position_embeddings), *changing, *_windows(config)])


def _rotations(config: PretrainedConfig) -> list[dict[str, Any]]:
    """How positions are turned: one for all layers, or one for each kind of them."""
    found = getattr(config, "rope_parameters", None) or {}
    return [e for e in (found, *found.values()) if isinstance(e, dict) and "rope_type" in e]


def check_complete(missing: Iterable[str]) -> None:
    """Raise ValueError when a checkpoint lacks weights, which transformers makes up at random."""
    names = sorted(missing)
    if names:
        others = f" and {len(names) - 1} more" if names[1:] else ""
        raise ValueError(f"Its weights lack {names[0]}{others}.")


def check_sizes(mismatched: Iterable[tuple[str, Iterable[int], Iterable[int]]]) -> None:
    """Raise ValueError when weights are of another size than the configuration says."""
    for name, found, wanted in sorted(mismatched):
        sizes = [" by ".join(map(str, shape)) for shape in (found, wanted)]
        raise ValueError(
            f"Its {name} is of {sizes[0]} numbers, and its configuration is for {sizes[1]}."
        )


def causal_class(config: PretrainedConfig) -> Any:
    """Return the transformers class of the causal model, or None."""
    mapping = AutoModelForCausalLM._model_mapping  # noqa: SLF001  (no public way to ask)
    return mapping.get(type(config), None)


def _windows(config: PretrainedConfig) -> list[int]:
    """Return how many tokens some layers look back on, their own included; none: all see all."""
    window = getattr(config, "sliding_window", None)
    slides = SLIDING in (getattr(config, "layer_types", None) or ())
    if window is None or (getattr(config, "use_sliding_window", None) is False and not slides):
        return []
    return [int(window)]
