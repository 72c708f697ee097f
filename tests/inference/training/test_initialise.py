"""The start of training: a model that copies what it has seen once, before any step."""

import torch

from inference.training.initialise import initialise
from inference.training.model import ModelShape, StarterModel

SHAPE = ModelShape(vocabulary=500)


def copied(model, distance):
    """The share of 40 random tokens that are predicted right when they come a second time."""
    once = torch.randperm(500)[:40]
    between = torch.randint(0, 500, (distance,))
    tokens = torch.cat((once, between, once))[None]
    positions = torch.arange(tokens.shape[1])[None]
    with torch.no_grad():
        logits = model(tokens, torch.ones_like(tokens), positions)[0]
    return (logits[-40:-1].argmax(-1) == once[1:]).float().mean().item()


def test_a_fresh_model_copies_a_sequence_that_comes_again():
    torch.manual_seed(0)
    model = StarterModel(SHAPE)
    assert copied(model, 0) < 0.1
    initialise(model)
    assert copied(model, 0) > 0.5
    assert copied(model, 60) > 0.4


def test_a_fresh_model_has_no_strong_opinion_yet():
    torch.manual_seed(0)
    model = StarterModel(SHAPE)
    initialise(model)
    tokens = torch.randint(0, 500, (2, 30))
    with torch.no_grad():
        logits = model(tokens, torch.ones_like(tokens), torch.arange(30).expand(2, 30))
    assert logits.abs().max() < 12
