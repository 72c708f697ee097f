"""Vendored files are those of the manifest; nothing of ours calls home."""

import json
import re
import subprocess
import sys

from tests.environment import REPOSITORY

VENDOR = REPOSITORY / "static" / "js" / "vendor"


def test_every_vendored_file_is_as_the_manifest_says() -> None:
    done = subprocess.run(
        [sys.executable, str(VENDOR / "vendor.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_every_package_names_its_version_and_licence() -> None:
    for entry in json.loads((VENDOR / "manifest.json").read_text()):
        assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])
        assert entry["licence"]
        assert entry["integrity"].startswith("sha512-")
        assert any("LICENSE" in name for name in entry["sha256"])


def test_no_vendored_script_is_without_an_entry() -> None:
    listed = {
        name
        for entry in json.loads((VENDOR / "manifest.json").read_text())
        for name in entry["sha256"]
    }
    there = {
        str(path.relative_to(REPOSITORY))
        for folder in ("js", "css", "fonts")
        for path in (REPOSITORY / "static" / folder / "vendor").rglob("*")
        if path.is_file() and path.name not in {"vendor.py", "manifest.json"}
        and "__pycache__" not in path.parts
    }  # fmt: skip
    assert there <= listed


def test_our_styles_and_scripts_name_no_other_server() -> None:
    for path in (REPOSITORY / "static").rglob("*"):
        if path.suffix in {".js", ".css"} and "vendor" not in path.parts:
            assert not re.search(r"""["'(]\s*(https?:)?//""", path.read_text()), path


def test_colours_stand_in_the_tokens_alone() -> None:
    for path in (REPOSITORY / "static" / "css").glob("*.css"):
        if path.name == "tokens.css":
            continue
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        found = re.findall(r"#[0-9a-fA-F]{3,8}\b(?!-)|\brgba?\(|\bhsla?\(", text)
        assert found == [], f"{path.name}: {found}"
