"""The types of the playground's modules, as their comments say them, checked by TypeScript."""

from tests.conformance import environments
from tests.environment import REPOSITORY


def test_the_modules_types_hold() -> None:
    report = environments.run("typescript", REPOSITORY=str(REPOSITORY))
    assert report["wrong"] == []
    assert report["files"] > 30
