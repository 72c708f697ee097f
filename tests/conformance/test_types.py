"""The types of our modules, as their comments say them, checked by TypeScript."""

from tests.conformance import environments
from tests.environment import REPOSITORY

MODULES = REPOSITORY / "static" / "js"


def test_the_modules_types_hold() -> None:
    report = environments.run("typescript", REPOSITORY=str(REPOSITORY))
    assert report["wrong"] == []
    ours = [path for path in MODULES.rglob("*.js") if MODULES / "vendor" not in path.parents]
    assert report["files"] == len(ours)
