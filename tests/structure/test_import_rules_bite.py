"""Each import rule fails when it is broken: a copy of the tree gets one bad import at a time."""

import shutil
from pathlib import Path

import pytest

from tests.environment import REPOSITORY
from tests.structure.test_imports import PYPROJECT, lint_imports

# Rule: a file, and the line that breaks the rule.
OFFENCES = {
    "lib": ("portal/lib/money.py", "import billing.ledger"),
    "accounts": ("accounts/flows.py", "import billing.ledger"),
    "billing": ("billing/pricing.py", "import inference.spec"),
    "inference": ("inference/spec.py", "import playground.protocol"),
    "playground": ("playground/protocol.py", "import billing.ledger"),
    "project": ("accounts/flows.py", "import portal.pages.urls"),
    "client": ("playground/protocol.py", "import inference.client"),
    "generations": ("inference/api/chat.py", "import inference.settling"),
    "engine-internals": ("inference/spec.py", "import inference.engine.scheduler"),
    "engine": ("inference/engine/loop.py", "import django"),
    "torch": ("inference/spec.py", "import torch"),
    "stripe": ("portal/lib/money.py", "import stripe"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("tree")
    shutil.copy(REPOSITORY / "pyproject.toml", copy)
    for package in PYPROJECT["tool"]["importlinter"]["root_packages"]:
        shutil.copytree(
            REPOSITORY / package, copy / package,
            ignore=lambda folder, names: [
                name for name in names if not (Path(folder) / name).is_dir()
                and not name.endswith(".py")
            ],
        )  # fmt: skip
    return copy


def test_every_rule_has_an_offence() -> None:
    rules = {contract["id"] for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}
    assert rules == OFFENCES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("rule", OFFENCES)
def test_it_notices_an_import_that_breaks_the_rule(rule: str, tree: Path) -> None:
    name, line = OFFENCES[rule]
    offender = tree / name
    before = offender.read_text()
    offender.write_text(f"{before}\n{line}\n")
    try:
        done = lint_imports(tree)
    finally:
        offender.write_text(before)
    title = next(
        contract["name"]
        for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
        if contract["id"] == rule
    )
    assert done.returncode != 0
    assert f"{title} BROKEN" in " ".join(done.stdout.split())
