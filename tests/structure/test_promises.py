"""What documents name as the proof of a promise is there."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.environment import REPOSITORY

# A file, one of its tests perhaps, or a folder of tests: `billing/test_caps.py`, `portal/pages/`.
NAME = re.compile(r"`((?:[\w.-]+/)*(?:[\w-]+\.(?:py|md|json)|[\w-]+/))(?:::(\w+))?`")
DOCUMENTS = ("README.md", "docs/features.md", "docs/billing.md", "inference/engine/README.md")


def proofs(document: str) -> Iterator[tuple[str, str]]:
    """Names of files and, where one is told, of a test in them; of tables the last column."""
    for line in (REPOSITORY / document).read_text().splitlines():
        if line.startswith("|"):
            yield from NAME.findall(line.rstrip("| ").rpartition(" | ")[2])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_proof_that_a_table_names_exists(document: str) -> None:
    there = everything()
    for name, test in proofs(document):
        name = name.replace("../", "")
        found = [path for path in there if path.endswith("/" + name)]
        assert found, f"{document} names {name}"
        if test:
            texts = [(REPOSITORY / path[1:]).read_text() for path in found]
            assert any(f"def {test}(" in text for text in texts), f"{document} names {test}"


def everything() -> set[str]:
    """Our files and their folders, which end in a slash; all begin with one."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    files = {f"/{name}" for name in listed if (REPOSITORY / name).exists()}
    folders = {name[:end] for name in files for end in range(2, len(name)) if name[end - 1] == "/"}
    return files | folders


def test_the_tables_name_what_they_rest_on() -> None:
    """Else the pattern above finds nothing any more."""
    found = {name for document in DOCUMENTS for name, _test in proofs(document)}
    assert len(found) > 200
    assert {"story/test_story.py", "portal/serving/", "benchmarks/engine.py"} <= found
