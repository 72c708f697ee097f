"""The whole way from nothing to an exported model, at a size that takes seconds."""

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.training.model import ModelShape
from inference.training.stages import Plan, make_starter

SHAPE = ModelShape(vocabulary=700, width=64, layers=2, heads=2, kv_heads=2, hidden=64)


def plan(work: Path) -> Plan:
    return Plan(
        work,
        documents=300,
        long_documents=300,
        polish_documents=300,
        pretrain_steps=62,
        finetune_steps=12,
        polish_steps=12,
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
