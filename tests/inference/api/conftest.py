"""What the tests of the REST surface share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inference import service
from inference.models import ServedModel
from portal.lib.db import db
from tests.inference.api.openai_schema import DESCRIPTION, OpenAISchema
from tests.inference.engines import FakeEngine


@pytest.fixture
def schema(reference_data: Callable[[str], Path]) -> OpenAISchema:
    return OpenAISchema(reference_data(DESCRIPTION))


@pytest.fixture
async def caller(
    running: service.Service, add_model: Callable[..., ServedModel], caller_engine: FakeEngine
) -> str:
    """The name of a model that speaks, and then calls a tool where it may."""
    await db(add_model, "caller", max_model_len=2048)
    await running.pool._follow()
    assert await running.pool.wait_until_healthy("caller", 60)
    return "caller"


@pytest.fixture(scope="session")
def encoder_engines() -> Iterator[list[FakeEngine]]:
    """`vectors` makes embeddings, `masks` fills masks; both choke on the word poison."""
    engines = [
        FakeEngine("vectors", fake_kind="embeddings", fake_fail_on="poison", max_model_len=64),
        FakeEngine("masks", fake_kind="fill_mask", fake_fail_on="poison", max_model_len=64),
    ]
    for engine in engines:
        engine.start()
    yield engines
    for engine in engines:
        engine.stop()


@pytest.fixture
async def encoders(
    running: service.Service,
    add_model: Callable[..., ServedModel],
    encoder_engines: list[FakeEngine],
) -> service.Service:
    """The service, with both connected: a dollar per million tokens of input."""
    for engine, kind in zip(encoder_engines, ("embeddings", "fill_mask"), strict=True):
        await db(lambda e=engine, k=kind: add_model(e.model, kind=k, is_chat=False))
        await running.pool._follow()
        assert await running.pool.wait_until_healthy(engine.model, 60)
    return running
