"""The whole way from nothing to an exported model, at a size that takes seconds."""

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.training.export import export, load_exported
from inference.training.model import ModelShape, StarterModel
from inference.training.stages import Plan, make_starter, make_tokenizer

SHAPE = ModelShape(vocabulary=700, width=64, layers=2, heads=2, kv_heads=2, hidden=64)


def plan(work: Path) -> Plan:
    return Plan(
        work,
        documents=300,
        long_documents=300,
        polish_documents=300,
        row_tokens=128,
        long_row_tokens=256,
        pretrain_steps=62,
        finetune_steps=24,
        polish_steps=24,
        batch_rows=4,
        compiled=False,
        shape=SHAPE,
    )


def test_it_makes_a_model_that_transformers_loads_and_does_not_start_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(tmp_path / "work")
    make_starter(made, tmp_path / "first")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "first")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "first")
    assert model.config.max_position_embeddings == SHAPE.context
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello!"}], add_generation_prompt=True, return_tensors="pt"
    )
    assert model.generate(**prompt, max_new_tokens=5).shape[1] > prompt["input_ids"].shape[1]

    written = {path: path.stat().st_mtime_ns for path in made.work.glob("rows-*")}
    assert len(written) == 3
    make_starter(made, tmp_path / "second")
    assert {path: path.stat().st_mtime_ns for path in made.work.glob("rows-*")} == written
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]


def test_it_trains_an_exported_model_further_without_pretraining(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(plan(tmp_path / "work"))
    model = StarterModel(SHAPE)
    export(model, tokenizer, tmp_path / "first")

    further = replace(plan(tmp_path / "further"), start=tmp_path / "first", corpus_seed=4)
    make_starter(further, tmp_path / "second")
    assert not further.checkpoint("pretrain").exists()
    written = [(tmp_path / name / "tokenizer.json").read_bytes() for name in ("first", "second")]
    assert written[0] == written[1]
    before = model.model.embed_tokens.weight
    after = load_exported(tmp_path / "second", SHAPE).model.embed_tokens.weight
    # Two models that have nothing in common would be 1.4 apart.
    assert 0.01 < (after - before).norm() / before.norm() < 0.5


def test_a_model_of_another_shape_is_not_trained_further(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    save_file(StarterModel(replace(SHAPE, layers=1)).state_dict(), folder / "model.safetensors")
    with pytest.raises(RuntimeError, match="Missing key"):
        load_exported(folder, SHAPE)
