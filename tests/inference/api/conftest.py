"""What the tests of the REST surface share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inference.api.openai_schema import OpenAISchema


@pytest.fixture
def schema(reference_data: Callable[[str], Path]) -> OpenAISchema:
    return OpenAISchema(reference_data("openai/openapi.json"))
