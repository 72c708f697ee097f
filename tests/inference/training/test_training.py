"""Packing, the loop and the export, on a model of a few thousand weights."""

import random

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from inference.training.corpus.mixture import split
from inference.training.export import export
from inference.training.loop import (
    IGNORED,
    LoopSettings,
    load_model,
    next_token_targets,
    stretched_positions,
    train,
)
from inference.training.model import ModelShape, StarterModel
from inference.training.packing import PackedRows, pack
from inference.training.schedule import Schedule
from inference.training.tokenizer import encode_document, train_tokenizer

SHAPE = ModelShape(vocabulary=600, width=32, layers=2, heads=2, kv_heads=2, hidden=64, context=256)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(
        (document.text for document in split(1, 200, held_out=False)), SHAPE.vocabulary
    )


@pytest.fixture(scope="module")
def rows(tokenizer):
    return pack((encode_document(tokenizer, d) for d in split(2, 200, held_out=False)), 128)


def settings(**changes):
    defaults = {
        "schedule": Schedule(20, 2, 4),
        "batch_rows": 4,
        "compiled": False,
        "workers": 2,
        "context": 256,
    }
    return LoopSettings(**{**defaults, **changes})


def run(rows, path=None, **options):
    torch.manual_seed(0)
    losses = []
    model = StarterModel(SHAPE)
    train(
        model,
        rows,
        settings(),
        path,
        on_step=lambda _, loss: losses.append(loss),
        **options,
    )
    return losses


def test_packing_keeps_every_fitting_document_whole():
    rng = random.Random(0)
    encoded = [([rng.randrange(1, 500) for _ in range(rng.randint(1, 40))], []) for _ in range(300)]
    encoded = [(ids, [bool(i % 2) for i in range(len(ids))]) for ids, _ in encoded]
    packed = pack([*encoded, ([1] * 33, [True] * 33)], 32)
    found = []
    for number in range(len(packed)):
        for segment in range(1, packed.segments[number].max() + 1):
            here = packed.segments[number] == segment
            found.append(
                (packed.tokens[number][here].tolist(), packed.answered[number][here].tolist())
            )
    assert sorted(found) == sorted(document for document in encoded if len(document[0]) <= 32)


def test_packing_wastes_little(rows):
    assert rows.num_tokens > 0.8 * rows.tokens.size


def test_rows_come_back_from_disk(rows, tmp_path):
    rows.save(tmp_path / "rows.npz")
    loaded = PackedRows.load(tmp_path / "rows.npz")
    for name in ("tokens", "answered", "segments"):
        assert np.array_equal(getattr(loaded, name), getattr(rows, name))


def test_nothing_is_predicted_across_documents_in_padding_or_for_the_user():
    tokens = torch.tensor([[5, 6, 7, 8, 9, 0]])
    segments = torch.tensor([[1, 1, 1, 2, 2, 0]])
    answered = torch.tensor([[False, False, True, False, True, False]])
    everything = next_token_targets(tokens, segments, None)
    assert everything.tolist() == [[6, 7, IGNORED, 9, IGNORED, IGNORED]]
    answers = next_token_targets(tokens, segments, answered)
    assert answers.tolist() == [[IGNORED, 7, IGNORED, 9, IGNORED, IGNORED]]


def test_a_document_sees_nothing_of_its_neighbours_in_the_row():
    model = StarterModel(SHAPE)
    segments, positions = torch.tensor([[1] * 5 + [2] * 5]), torch.arange(10)[None]
    first = torch.randint(0, 600, (1, 10))
    second = first.clone()
    second[0, :5] = torch.randint(0, 600, (5,))
    a, b = model(first, segments, positions), model(second, segments, positions)
    assert torch.allclose(a[0, 5:], b[0, 5:])
    assert not torch.allclose(a[0, :5], b[0, :5])
    later = first.clone()
    later[0, 9] = (later[0, 9] + 1) % 600
    assert torch.allclose(model(later, segments, positions)[0, :9], a[0, :9])


def test_stretched_positions_rise_and_end_within_the_context():
    positions = stretched_positions((200, 128), 256, np.random.default_rng(0))
    steps = positions.diff(dim=1)
    assert (steps >= 1).all()
    assert positions.max() <= 255
    assert ((steps > 1).sum(1) <= 1).all()
    assert 60 < (steps > 1).any(1).sum() < 140


def test_a_few_steps_reduce_the_loss(rows):
    losses = run(rows)
    assert losses[-1] < losses[0] - 0.4


def test_a_resumed_run_takes_the_same_steps_as_an_uninterrupted_one(rows, tmp_path):
    whole = run(rows)
    first = run(rows, tmp_path / "run.pt", stop_after=5)
    second = run(rows, tmp_path / "run.pt")
    assert first + second == whole


def test_the_rate_rises_stays_and_falls():
    schedule = Schedule(steps=100, warmup_steps=10, decay_steps=20, floor=0.1)
    rates = [schedule.multiplier(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:80] == [1.0] * 70
    assert rates[80] == 1.0
    assert rates[99] == pytest.approx(0.1 + 0.9 / 20)
    with pytest.raises(ValueError, match="fit"):
        Schedule(steps=10, warmup_steps=8, decay_steps=5)


def test_an_export_has_the_same_logits_in_transformers(rows, tokenizer, tmp_path):
    run(rows, tmp_path / "run.pt", stop_after=3)
    model = load_model(tmp_path / "run.pt")
    export(model, tokenizer, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(str(tmp_path / "out"), dtype=torch.float32)
    # The export rounds to bfloat16; so does the model it is compared with.
    model.load_state_dict(
        {name: weight.bfloat16().float() for name, weight in model.state_dict().items()}
    )
    tokens = torch.randint(0, 600, (2, 40))
    with torch.no_grad():
        expected = model(tokens, torch.ones_like(tokens), torch.arange(40).expand(2, 40))
        assert torch.allclose(loaded(input_ids=tokens).logits, expected, atol=1e-4)
