"""What the tests of the REST surface share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from inference import service
from inference.models import ServedModel
from portal.lib.db import db
from tests.inference.api.openai_schema import OpenAISchema
from tests.inference.engines import FakeEngine


@pytest.fixture
def schema(reference_data: Callable[[str], Path]) -> OpenAISchema:
    return OpenAISchema(reference_data("openai/openapi.json"))


@pytest.fixture
async def caller(
    running: service.Service, add_model: Callable[..., ServedModel], caller_engine: FakeEngine
) -> str:
    """The name of a model that speaks, and then calls a tool where it may."""
    await db(add_model, "caller", max_model_len=2048)
    await running.pool._follow()
    assert await running.pool.wait_until_healthy("caller", 10)
    return "caller"
