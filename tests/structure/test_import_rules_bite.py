"""Each import rule names the import that breaks it: a copy of the tree gets one for every rule."""

import re
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
def complaints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a copy of the tree with all offences in it."""
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
    for name, line in OFFENCES.values():
        with (copy / name).open("a") as offender:
            offender.write(f"\n{line}\n")
    done = lint_imports(copy)
    assert done.returncode != 0
    return done.stdout


def test_every_rule_has_an_offence() -> None:
    rules = {contract["id"] for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}
    assert rules == OFFENCES.keys()


@pytest.mark.parametrize("rule", OFFENCES)
def test_it_notices_an_import_that_breaks_the_rule(rule: str, complaints: str) -> None:
    name, line = OFFENCES[rule]
    title = next(
        contract["name"]
        for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
        if contract["id"] == rule
    )
    summary, _, details = complaints.partition("Broken contracts")
    assert f"{title} BROKEN" in " ".join(summary.split())
    # A title, underlined, then what broke the rule, up to the next title.
    told = re.split(r"\n(?=.+\n-+\n)", details)
    [own] = [part for part in told if " ".join(part.split()).startswith(title)]
    importer = name.removesuffix(".py").replace("/", ".")
    assert f"{importer} -> {line.removeprefix('import ')}" in own
