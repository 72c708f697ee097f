"""Fetches the front end's few libraries with `npm pack` and writes what was taken into a manifest.

    python static/js/vendor/vendor.py            # fetch everything anew
    python static/js/vendor/vendor.py --check    # compare the files here with the manifest

Nothing else in the repository downloads: pages are served the files that lie here. To take a new
version, change it in PACKAGES and run this; the manifest then shows the difference.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
MANIFEST = HERE / "manifest.json"
LANGUAGES = (
    "bash", "c", "cpp", "css", "go", "java", "javascript", "json", "markdown", "python", "rust",
    "sql", "typescript", "xml", "yaml",
)  # fmt: skip


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    # Path in the package -> path in the repository.
    files: dict[str, str]
    # What a file needs at its end, where the package ships no small ES module.
    append: dict[str, str] = field(default_factory=dict)


PACKAGES = (
    Package(
        "uplot",
        "1.6.32",
        {
            "dist/uPlot.iife.min.js": "static/js/vendor/uplot.js",
            "dist/uPlot.min.css": "static/css/vendor/uplot.css",
            "LICENSE": "static/js/vendor/uplot.LICENSE",
        },
        {"dist/uPlot.iife.min.js": "\nexport default uPlot;\n"},
    ),
    Package(
        "marked",
        "18.2.1",
        {
            "lib/marked.esm.js": "static/js/vendor/marked.js",
            "LICENSE": "static/js/vendor/marked.LICENSE",
        },
    ),
    Package(
        "dompurify",
        "3.4.18",
        {
            "dist/purify.min.js": "static/js/vendor/purify.js",
            "LICENSE": "static/js/vendor/purify.LICENSE",
        },
        {"dist/purify.min.js": "\nexport default globalThis.DOMPurify;\n"},
    ),
    Package(
        "@highlightjs/cdn-assets",
        "11.12.0",
        {
            "es/core.min.js": "static/js/vendor/highlight/core.js",
            "LICENSE": "static/js/vendor/highlight/LICENSE",
        }
        | {
            f"es/languages/{name}.min.js": f"static/js/vendor/highlight/{name}.js"
            for name in LANGUAGES
        },
    ),
    Package(
        "temml",
        "0.13.5",
        {
            "dist/temml.min.js": "static/js/vendor/temml.js",
            "dist/Temml-Local.css": "static/css/vendor/temml.css",
            "dist/Temml.woff2": "static/css/vendor/Temml.woff2",  # where its CSS looks for it
            "LICENSE": "static/js/vendor/temml.LICENSE",
        },
        {"dist/temml.min.js": "\nexport default temml;\n"},
    ),
    Package(
        "@fontsource-variable/inter",
        "5.3.0",
        {
            "files/inter-latin-wght-normal.woff2": "static/fonts/vendor/inter-latin.woff2",
            "LICENSE": "static/fonts/vendor/inter.LICENSE",
        },
    ),
    Package(
        "@fontsource/stix-two-math",
        "5.3.0",
        {
            "files/stix-two-math-latin-400-normal.woff2": "static/fonts/vendor/stix-two-math.woff2",
            "LICENSE": "static/fonts/vendor/stix-two-math.LICENSE",
        },
    ),
    Package(
        "axe-core",
        "4.14.1",
        {"axe.min.js": "tests/vendor/axe.min.js", "LICENSE": "tests/vendor/axe.LICENSE"},
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, fetch nothing")
    if not parser.parse_args().check:
        entries = [fetch(package) for package in PACKAGES]
        MANIFEST.write_text(json.dumps(entries, indent=2) + "\n")
    problems = differences()
    print("\n".join(problems) or "every vendored file is as the manifest says")  # noqa: T201
    return 1 if problems else 0


def fetch(package: Package) -> dict[str, object]:
    """Takes the named files out of the package's tarball; returns its manifest entry."""
    with tempfile.TemporaryDirectory() as folder:
        answer = subprocess.run(  # noqa: S603
            ["npm", "pack", "--json", f"{package.name}@{package.version}"],  # noqa: S607
            cwd=folder, check=True, capture_output=True, text=True,
        )  # fmt: skip
        packed = json.loads(answer.stdout)
        entry = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
        with tarfile.open(Path(folder) / entry["filename"]) as tar:
            hashes = {
                target: take(tar, source, ROOT / target, package.append.get(source, ""))
                for source, target in package.files.items()
            }
            licence = json.loads(read(tar, "package.json"))["license"]
    return {
        "name": package.name,
        "version": package.version,
        "licence": licence,
        "integrity": entry["integrity"],
        "sha256": hashes,
    }


def take(tar: tarfile.TarFile, source: str, target: Path, append: str) -> str:
    """Writes one file; without the pointer to a source map, which we do not serve."""
    content = read(tar, source)
    if target.suffix in {".js", ".css"}:
        content = re.sub(rb"\n//# sourceMappingURL=\S*\s*$", b"\n", content) + append.encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(f"package/{name}")
    if member is None:
        raise FileNotFoundError(name)
    return member.read()


def differences() -> list[str]:
    """What lies here against what the manifest says."""
    problems = []
    for entry in json.loads(MANIFEST.read_text()):
        for name, expected in entry["sha256"].items():
            path = ROOT / name
            if not path.exists():
                problems.append(f"{name} is missing")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                problems.append(f"{name} differs from {entry['name']} {entry['version']}")
    return problems


if __name__ == "__main__":
    sys.exit(main())
