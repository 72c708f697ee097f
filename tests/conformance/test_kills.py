"""`kill -9` at every write and commit of all that moves money, on both databases."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.billing.test_kills import killed
from tests.services import postgres_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
NUM_CASES = 15


def test_all_on_sqlite(tmp_path: Path, reference_data: Callable[[str], Path]) -> None:
    reference_data("stripe/fixtures3.json")
    assert len(killed(DATA_DIR=str(tmp_path))) == NUM_CASES


@pytest.mark.services
def test_all_on_postgresql(tmp_path: Path, reference_data: Callable[[str], Path]) -> None:
    reference_data("stripe/fixtures3.json")
    with postgres_server() as address:
        answer = killed(DATA_DIR=str(tmp_path), DATABASE_URL=address)
    assert len(answer) == NUM_CASES
