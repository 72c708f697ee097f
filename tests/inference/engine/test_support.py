"""What cannot be served is refused with the reason, before anything is loaded."""

from pathlib import Path

import pytest
from transformers import (
    BertConfig,
    BloomConfig,
    Gemma2Config,
    MambaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    T5Config,
)

from inference.engine.check import describe
from inference.engine.support import check_supported
from tests.inference.engine.tiny import CONFIGS


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_it_accepts_the_tested_families(name: str) -> None:
    check_supported(CONFIGS[name])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (T5Config(), "encoder-decoder"),
        (BloomConfig(), "attention interface"),
        (MambaConfig(), "attention interface"),
        (MistralConfig(sliding_window=4096, max_position_embeddings=32768), "sliding-window"),
        (Gemma2Config(), "sliding-window"),
        (
            Qwen2Config(use_sliding_window=True, sliding_window=1024, max_window_layers=2),
            "sliding-window",
        ),
    ],
    ids=lambda value: getattr(value, "model_type", None),
)
def test_it_says_why_it_refuses(config: PretrainedConfig, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_supported(config)


def test_it_refuses_a_configuration_without_a_causal_model() -> None:
    class OddConfig(BertConfig):
        model_type = "odd"

    with pytest.raises(ValueError, match="no causal language model"):
        check_supported(OddConfig())


def test_it_describes_a_checkpoint_by_its_configuration(tmp_path: Path) -> None:
    CONFIGS["llama"].save_pretrained(tmp_path)
    facts = describe(str(tmp_path))
    assert (facts["model_type"], facts["max_model_len"]) == ("llama", 512)
