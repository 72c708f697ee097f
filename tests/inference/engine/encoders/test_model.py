"""Vectors and masks against transformers' own passes, whatever runs beside a text."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, pipeline

from inference.engine.__main__ import build_parser, build_served
from inference.engine.encoders.jobs import Answer, Row
from inference.engine.encoders.model import EmbeddingModel, MaskedLanguageModel
from inference.engine.encoders.server import ServedEncoder
from tests.inference.engine.encoders.checkpoints import (
    CONFIGS,
    LENGTH,
    VOCABULARY,
    write_encoder,
    write_modules,
)

TEXTS = (
    "the quick brown fox jumps over a lazy dog!",
    "cat",
    "a cat sat on the mat and ran off " * 6,
    "dogs running",
)


def serve(path: Path | str, *more: str) -> ServedEncoder:
    args = build_parser().parse_args(
        ["--path", str(path), "--device", "cpu", "--threads", "1", *more]
    )
    served = build_served(args)
    assert isinstance(served, ServedEncoder)
    return served


def rows_of(served: ServedEncoder, texts: tuple[str, ...], **more: Any) -> list[Row]:
    return [Row(tuple(served.codec.encode_text(text)), **more) for text in texts]


def reference(path: Path | str, text: str, pooling: str = "mean") -> np.ndarray[Any, Any]:
    """transformers' own pass over one text alone, with nothing padded."""
    tokenizer, module = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path).eval()
    with torch.inference_mode():
        hidden = module(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
    return (hidden[0] if pooling == "cls" else hidden.mean(0)).numpy()


def cosine(a: Any, b: Any) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_vectors_are_those_of_transformers_in_any_company(tmp_path: Path, family: str) -> None:
    write_encoder(tmp_path, family)
    served = serve(tmp_path)
    rows = rows_of(served, TEXTS)
    together = served.encoder.run(rows)
    for text, row, vector in zip(TEXTS, rows, together, strict=True):
        [alone] = served.encoder.run([row])
        expected = reference(tmp_path, text)
        assert isinstance(vector, np.ndarray)
        assert isinstance(alone, np.ndarray)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)
        np.testing.assert_allclose(alone, vector, atol=1e-5)
        assert served.dimensions == len(vector) == 32


@pytest.mark.parametrize(("switch", "pooling"), [("cls_token", "cls"), ("mean_tokens", "mean")])
def test_pooling_and_length_are_the_folders(tmp_path: Path, switch: str, pooling: str) -> None:
    write_encoder(tmp_path)
    write_modules(tmp_path, switch, normalise=False)
    served = serve(tmp_path)
    for text, vector in zip(TEXTS, served.encoder.run(rows_of(served, TEXTS)), strict=True):
        np.testing.assert_allclose(vector, reference(tmp_path, text, pooling), atol=1e-5)


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_masks_are_filled_as_by_transformers_in_any_company(tmp_path: Path, family: str) -> None:
    write_encoder(tmp_path, family, masked=True)
    served = serve(tmp_path)
    texts = ("the quick [MASK] fox", "a [MASK] sat on the [MASK]!", "no mask here", "[MASK]")
    answers = served.encoder.run(rows_of(served, texts, top_k=3))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    module = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    for text, answer in zip(texts, answers, strict=True):
        assert isinstance(answer, tuple)
        encoded = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            expected = module(**encoded).logits[0].softmax(-1)
        places = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten().tolist()
        assert [fill.position for fill in answer] == places
        for fill in answer:
            values, ids = expected[fill.position].topk(3)
            assert [token_id for token_id, _ in fill.candidates] == ids.tolist()
            np.testing.assert_allclose([p for _, p in fill.candidates], values, atol=1e-5)


def test_a_mask_is_filled_as_by_the_pipeline_with_and_without_targets(tmp_path: Path) -> None:
    write_encoder(tmp_path, masked=True)
    served = serve(tmp_path)
    filler = pipeline("fill-mask", model=str(tmp_path), tokenizer=str(tmp_path), device="cpu")
    text = "the quick [MASK] fox jumps!"
    targets = ["dog", "cat", "mat"]
    ids = [served.codec.find_token(target) for target in targets]
    for expected, target_ids in (
        (filler(text, top_k=5), ()),
        (filler(text, top_k=2, targets=targets), tuple(ids)),
    ):
        [row] = rows_of(served, (text,), top_k=len(expected), target_ids=target_ids)
        [answer] = served.encoder.run([row])
        assert isinstance(answer, tuple)
        [fill] = answer
        for (token_id, probability), theirs in zip(fill.candidates, expected, strict=True):
            filled = list(row.token_ids)
            filled[fill.position] = token_id
            assert token_id == theirs["token"]
            assert probability == pytest.approx(theirs["score"], abs=1e-6)
            assert served.codec.decode([token_id]) == theirs["token_str"]
            if token_id != served.codec.mask_token_id:  # which stays visible here
                assert served.codec.plain_text(filled) == theirs["sequence"]


def test_a_filled_text_shows_its_other_masks_and_no_other_special_token(tmp_path: Path) -> None:
    write_encoder(tmp_path, masked=True)
    codec = serve(tmp_path).codec
    filled = codec.encode_text("a [MASK] sat on the [MASK]")
    filled[2] = VOCABULARY["cat"]
    assert codec.plain_text(filled) == "a cat sat on the [MASK]"


def test_a_text_is_neither_cut_nor_padded_by_its_tokenizer(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    served = serve(tmp_path)
    assert len(served.codec.encode_text("cat " * 30)) == 32
    assert served.codec.encode_text("cat") == [2, 14, 3]


def test_targets_are_single_tokens(tmp_path: Path) -> None:
    write_encoder(tmp_path, masked=True)
    codec = serve(tmp_path).codec
    assert [codec.find_token(t) for t in ("dog", "##ing", "Dog", "dogs", "zebra", "")] == [
        VOCABULARY["dog"], VOCABULARY["##ing"], VOCABULARY["dog"], None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("masked", [False, True])
def test_numbers_that_are_not_finite_fail_their_own_row(tmp_path: Path, masked: bool) -> None:
    write_encoder(tmp_path, masked=masked)
    served = serve(tmp_path)
    rows = rows_of(served, ("the [MASK] cat", "a dog [MASK]", "cat [MASK] mat"))
    assert isinstance(served.encoder, EmbeddingModel | MaskedLanguageModel)
    poisoned = rows[1].token_ids[2]
    with torch.no_grad():
        served.encoder.module.get_input_embeddings().weight[poisoned] = float("nan")
    good: list[Answer] = served.encoder.run([rows[0], rows[2]])
    answers = served.encoder.run(rows)
    assert answers[1] is None
    if masked:
        assert (answers[0], answers[2]) == (good[0], good[1])
    else:
        np.testing.assert_array_equal(answers[0], good[0])


def test_a_longest_text_runs_and_no_longer_one_is_promised(tmp_path: Path) -> None:
    write_encoder(tmp_path, "roberta")
    assert serve(tmp_path).limits.max_model_len == LENGTH
    assert serve(tmp_path, "--max-model-len", "10").limits.max_model_len == 10
    with pytest.raises(ValueError, match="made for 64 tokens, not 65"):
        serve(tmp_path, "--max-model-len", "65")


def test_a_checkpoint_that_says_more_positions_than_it_has_is_refused(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    served = serve(tmp_path)
    assert isinstance(served.encoder, EmbeddingModel)
    served.encoder._max_model_len = LENGTH + 1
    with pytest.raises(ValueError, match=f"cannot run {LENGTH + 1} tokens"):
        served.encoder.verify(0)


def test_a_model_whose_vectors_depend_on_their_company_is_refused(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    served = serve(tmp_path)
    assert isinstance(served.encoder, EmbeddingModel)
    pad = served.encoder._pad

    def no_mask(rows: list[Row]) -> Any:
        ids, mask = pad(rows)
        return ids, torch.ones_like(mask)

    served.encoder._pad = no_mask  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="depends on what runs beside it"):
        served.encoder.verify(0)


def test_missing_weights_are_refused_by_name(tmp_path: Path) -> None:
    """What transformers would make up at random."""
    write_encoder(tmp_path)
    config = CONFIGS["bert"].to_dict() | {"num_hidden_layers": 3, "architectures": ["BertModel"]}
    type(CONFIGS["bert"]).from_dict(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lack encoder\.layer\.2"):
        serve(tmp_path)


def test_weights_of_another_size_are_refused_by_name(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    config = CONFIGS["bert"].to_dict() | {"vocab_size": 999, "architectures": ["BertModel"]}
    type(CONFIGS["bert"]).from_dict(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"word_embeddings\.weight is of .* is for 999 by"):
        serve(tmp_path)


def test_encoders_are_not_rounded_or_divided(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    for option in (("--quantize", "int8"), ("--tensor-parallel", "2")):
        with pytest.raises(ValueError, match="on one device, with their weights as they are"):
            serve(tmp_path, *option)
