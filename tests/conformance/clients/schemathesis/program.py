"""Tries our OpenAPI document against the site and tells what did not keep to it.

Reads SITE, DOCUMENT, SENSIBLE (one of which a good part makes sense), INFERENCE_KEY, MANAGEMENT_KEY
and SPARE_KEY, the one that may lose its rights on the way. Prints one line of JSON: for each part
of the API its failures, how much was tried, and which statuses the calls of each operation had.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# With the document, JSON's 1.0 is an integer, and a token id is any number: a request that keeps
# to it may still make no sense. All other checks are on, `ignored_auth` among them.
EXCLUDED = "positive_data_acceptance"
# Calls that may take away the rights of the key that makes them.
SELF_HARM = ("keys_partial_update", "keys_destroy")
PARTS = {
    "sensible": (
        "SENSIBLE",
        "INFERENCE_KEY",
        ["--include-path-regex", "^/(v1|tokenize|detokenize)", "--exclude-method", "GET",
         "--exclude-method", "DELETE",
         "--phases", "fuzzing", "--mode", "positive", "--generation-allow-x00", "false"],
    ),
    "inference": (
        "DOCUMENT",
        "INFERENCE_KEY",
        ["--include-path-regex", "^/(v1|tokenize|detokenize|tokenizer_info)"],
    ),
    "management": (
        "DOCUMENT",
        "MANAGEMENT_KEY",
        ["--include-path-regex", "^/api/",
         *(word for name in SELF_HARM for word in ("--exclude-operation-id", name))],
    ),
    "keys": (
        "DOCUMENT",
        "SPARE_KEY",
        [word for name in ("keys_create", *SELF_HARM) for word in ("--include-operation-id", name)],
    ),
}  # fmt: skip
EXAMPLES = "15"
DOCUMENT = json.loads(Path(os.environ["DOCUMENT"]).read_text())
# Names of models may have slashes, so addresses that are longer are tried first.
PATTERNS = [
    (template, re.compile(re.sub(r"\{\w+\}", ".+", template)))
    for template in sorted(DOCUMENT["paths"], key=len, reverse=True)
]


def try_part(document: str, key: str, which: list[str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        report, archive = Path(folder) / "report.json", Path(folder) / "calls.har"
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run",
            document, "--url", os.environ["SITE"],
            "--header", f"Authorization: Bearer {key}",
            "--phases", "examples,coverage,fuzzing", *which, "--exclude-checks", EXCLUDED,
            "--max-examples", EXAMPLES, "--seed", "1", "--workers", "1", "--no-shrink",
            "--continue-on-failure", "--suppress-health-check", "all", "--request-timeout", "20",
            "--report", "json,har", "--report-json-path", str(report),
            "--report-har-path", str(archive),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if not report.exists():
            sys.exit(done.stdout + done.stderr)
        found = json.loads(report.read_text())
        calls = json.loads(archive.read_text())["log"]["entries"]
    return {
        "complete": found["complete"],
        "failures": found["failures"],
        "errors": found["errors"],
        "tested": found["operations"]["tested"],
        "cases": found["test_cases"]["generated"],
        "said": done.stdout[-3000:],
        "statuses": statuses(calls),
    }


def statuses(calls: list[dict[str, Any]]) -> dict[str, dict[int, int]]:
    """By operation and status, how many calls had it; what no operation describes is left out."""
    counted: dict[str, Counter[int]] = {}
    for call in calls:
        path = urlsplit(call["request"]["url"]).path
        template = next((t for t, pattern in PATTERNS if pattern.fullmatch(path)), None)
        method = call["request"]["method"]
        if template is not None and method.lower() in DOCUMENT["paths"][template]:
            name = f"{method} {template}"
            counted.setdefault(name, Counter())[call["response"]["status"]] += 1
    return {name: dict(each) for name, each in counted.items()}


print(
    json.dumps(
        {
            name: try_part(os.environ[document], os.environ[key], args)
            for name, (document, key, args) in PARTS.items()
        }
    )
)
