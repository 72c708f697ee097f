"""Over HTTP to a process with a real, tiny encoder: its vectors, its ids, its tokenizer."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from inference import service
from inference.models import ServedModel
from portal.lib.db import db
from tests.inference.engine.encoders.checkpoints import VOCABULARY, write_encoder
from tests.inference.engine.encoders.test_model import reference
from tests.inference.engines import RealEngine

MODEL = "tiny-bert"
CLS, SEP = VOCABULARY["[CLS]"], VOCABULARY["[SEP]"]
CAT, DOG = VOCABULARY["cat"], VOCABULARY["dog"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    write_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> Iterator[RealEngine]:
    class Encoder(RealEngine):
        source = ("--path", str(checkpoint), "--device", "cpu", "--threads", "1")

    engine = Encoder(MODEL)
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
async def encoder(
    running: service.Service,
    add_model: Callable[..., ServedModel],
    engine: RealEngine,
    web: httpx.AsyncClient,
) -> httpx.AsyncClient:
    """Alice's program, for which the site serves it."""
    await db(lambda: add_model(MODEL, kind="embeddings", is_chat=False, max_model_len=64))
    await running.pool._follow()
    assert await running.pool.wait_until_healthy(MODEL, 60)
    return web


async def ask(web: httpx.AsyncClient, value: object) -> httpx.Response:
    return await web.post("/v1/embeddings", json={"model": MODEL, "input": value})


def vectors(answer: httpx.Response) -> np.ndarray[Any, Any]:
    assert answer.status_code == 200, answer.text
    return np.array([each["embedding"] for each in answer.json()["data"]], np.float32)


async def test_vectors_are_those_of_the_model(encoder: httpx.AsyncClient, checkpoint: Path) -> None:
    texts = ["the quick brown fox", "a lazy dog"]
    found = vectors(await ask(encoder, texts))
    for text, vector in zip(texts, found, strict=True):
        expected = await asyncio.to_thread(reference, checkpoint, text)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)
    ids = [CLS, *(VOCABULARY[word] for word in ("a", "lazy", "dog")), SEP]
    np.testing.assert_allclose(vectors(await ask(encoder, ids))[0], found[1], atol=1e-5)


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ([CAT, DOG], "input"),  # what another tokenizer made of it may look like
        ([CLS, CAT], "input"),
        ([CAT, SEP], "input"),
        ([[CLS, CAT, SEP], [CAT, DOG]], "input[1]"),
    ],
)
async def test_ids_of_another_tokenizer_are_refused(
    encoder: httpx.AsyncClient, value: object, param: str
) -> None:
    refused = await ask(encoder, value)
    error = refused.json()["error"]
    assert (refused.status_code, error["param"], error["code"]) == (400, param, "invalid_value")
    assert f"begin with {CLS} and end with {SEP}" in error["message"]
    assert "check_embedding_ctx_length=False" in error["message"]


async def test_special_tokens_stand_around_a_text_unless_they_are_not_wanted(
    encoder: httpx.AsyncClient,
) -> None:
    for wanted, ids in ((None, [CLS, CAT, SEP]), (True, [CLS, CAT, SEP]), (False, [CAT])):
        asked = {"model": MODEL, "prompt": "cat", "add_special_tokens": wanted}
        assert (await encoder.post("/tokenize", json=asked)).json()["tokens"] == ids


async def test_its_tokenizer_is_told_as_it_is(encoder: httpx.AsyncClient) -> None:
    info = (await encoder.get("/tokenizer_info", params={"model": MODEL})).json()
    names = ("bos", "eos", "pad", "unk", "cls", "sep", "mask")
    assert [info[f"{name}_token"] for name in names] == [
        None, None, "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
    ]  # fmt: skip
    assert (info["chat_template"], info["has_chat_template"]) == (None, False)
    assert (info["vocab_size"], info["model_max_length"]) == (len(VOCABULARY), 64)
