"""Translations are complete, true to their originals, and compiled; `make messages` mends most."""

import ast
import gettext
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings

from portal.management.commands import messages
from tests.environment import CI, REPOSITORY

CATALOGUES = messages.catalogues()
# What is the same in every language: names, and marks without words.
SAME = {"API", "MFA", "WebAuthn", "Top-p", "Top-k", "Min-p", "Responses", "Messages"}
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


@pytest.fixture(autouse=True)
def tools() -> None:
    if shutil.which("msgfmt"):
        return
    reason = "GNU gettext is missing (Debian: apt-get install gettext)"
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Entry:
    flags: str
    original: str
    plural: str
    translations: tuple[str, ...]


def entries(catalogue: Path) -> Iterator[Entry]:
    """Every string of a catalogue, without its head."""
    for block in catalogue.read_text().split("\n\n")[1:]:
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if not line.startswith(("#", '"')):
                name = line.partition(" ")[0]
            if not line.startswith("#"):
                fields[name] = fields.get(name, "") + "".join(
                    ast.literal_eval(part) for part in QUOTED.findall(line)
                )
        flags = "".join(line for line in block.splitlines() if line.startswith("#"))
        translations = tuple(text for key, text in fields.items() if key.startswith("msgstr"))
        yield Entry(flags, fields["msgid"], fields.get("msgid_plural", ""), translations)


ALL = [entry for catalogue in CATALOGUES for entry in entries(catalogue)]


def test_each_language_but_english_has_a_catalogue() -> None:
    written = {path.parts[-3].replace("_", "-").lower() for path in CATALOGUES}
    assert written == {code for code, _name in settings.LANGUAGES} - {settings.LANGUAGE_CODE}


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-3])
def test_it_holds_the_strings_of_the_code_and_no_others(catalogue: Path) -> None:
    message = "Strings changed: run `make messages`, and translate what is empty."
    assert catalogue.read_text() == messages.updated(catalogue), message


def test_every_string_is_translated_and_none_is_a_guess() -> None:
    assert [entry.original for entry in ALL if not all(entry.translations)] == []
    assert [entry.original for entry in ALL if "fuzzy" in entry.flags] == []
    kept = {entry.original for entry in ALL if entry.original in entry.translations}
    assert kept - SAME == set()


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-3])
def test_what_is_compiled_is_what_is_written(catalogue: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "django.mo"
    subprocess.run(["msgfmt", "--check-format", "-o", fresh, catalogue], check=True)
    compiled = contents(catalogue.with_suffix(".mo"))
    assert compiled == contents(fresh), "run `make messages`"
    assert len(compiled) > 500


def contents(compiled: Path) -> dict[object, str]:
    with compiled.open("rb") as file:
        return gettext.GNUTranslations(file)._catalog


def test_placeholders_tags_and_line_breaks_are_those_of_the_original() -> None:
    wrong = [
        (entry.original, translation)
        for entry in ALL
        for translation in entry.translations
        if parts(translation) != parts(entry.plural or entry.original)
    ]
    assert wrong == []


def parts(text: str) -> Counter[str]:
    """What a program reads in a string, rather than a person."""
    return Counter(re.findall(r"%\(\w+\)[sdr]|%%|\{\w+\}|</?\w+[^>]*>|\n", text))


def test_chinese_is_set_with_its_own_marks() -> None:
    chinese = "[\u4e00-\u9fff]"
    wrong = re.compile(
        rf"{chinese}[,;:!?.(]|[,;:!?)]{chinese}|{chinese}[A-Za-z]|[A-Za-z]{chinese}|\s[，。；：？！、]"
    )
    texts = [text for entry in ALL for text in entry.translations]
    plain = [re.sub(r"%\(\w+\)s|\{\w+\}", "0", re.sub(r"</?\w+[^>]*>", "", text)) for text in texts]
    assert [text for text in plain if wrong.search(text)] == []


def test_the_catalogue_reads_what_it_is_said_to_read() -> None:
    """A folder with marked strings that `make messages` does not look into would stay English."""
    marked = subprocess.run(
        ["git", "grep", "-lE", r"translate |gettext", "--", "*.py", "*.html", "*.txt"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    folders = {Path(name).parts[0] for name in marked} - {"tests", "benchmarks"}
    assert folders <= set(messages.SOURCES)


def test_no_string_is_marked_where_gettext_does_not_look() -> None:
    """xgettext does not read what stands in an f-string."""
    hidden = []
    for _name, path in messages.sources():
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
                    if names & {"_", "gettext", "pgettext", "ngettext"}:
                        hidden.append(f"{path}:{node.lineno}")
    assert hidden == []
