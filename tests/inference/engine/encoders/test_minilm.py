"""A real model, all-MiniLM-L6-v2 of PyPI: our vectors are its own, and mean something."""

import numpy as np
import pytest

from inference.engine.encoders.jobs import Row
from inference.engine.encoders.server import ServedEncoder
from tests.inference.engine.encoders.test_model import cosine, reference, serve
from tests.minilm import folder

TEXTS = (
    "A man is eating food.",
    "Someone is having a meal.",
    "The stock market fell sharply on Monday.",
    "Share prices dropped at the beginning of the week.",
    "Wie wird das Wetter morgen in Bern? 你好, 👋🏽!",
    "How do I reset my password? " * 20,
)


@pytest.fixture(scope="module")
def minilm() -> ServedEncoder:
    return serve(folder())


def test_its_vectors_are_those_of_transformers(minilm: ServedEncoder) -> None:
    rows = [Row(tuple(minilm.codec.encode_text(text))) for text in TEXTS]
    for text, vector in zip(TEXTS, minilm.encoder.run(rows), strict=True):
        assert isinstance(vector, np.ndarray)
        assert cosine(vector, reference(folder(), text)) >= 0.9999
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    assert (minilm.dimensions, minilm.limits.max_model_len) == (384, 256)


def test_what_means_the_same_is_closer(minilm: ServedEncoder) -> None:
    rows = [Row(tuple(minilm.codec.encode_text(text))) for text in TEXTS[:4]]
    meal, eating, market, shares = minilm.encoder.run(rows)
    alike = [cosine(meal, eating), cosine(market, shares)]
    apart = [cosine(a, b) for a in (meal, eating) for b in (market, shares)]
    assert min(alike) > 0.4
    assert max(apart) < 0.15
