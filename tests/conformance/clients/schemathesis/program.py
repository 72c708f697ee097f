"""Tries our OpenAPI document against the site and tells what did not keep to it.

Reads SITE, INFERENCE_KEY, MANAGEMENT_KEY and SPARE_KEY, the one that may lose its rights on the
way; prints one line of JSON: for each part of the API its failures, and how much was tried.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# With the document, JSON's 1.0 is an integer, and a token id is any number: a request that keeps
# to it may still make no sense. All other checks are on, `ignored_auth` among them.
EXCLUDED = "positive_data_acceptance"
# Calls that may take away the rights of the key that makes them.
SELF_HARM = ("keys_partial_update", "keys_destroy")
PARTS = {
    "inference": (
        "INFERENCE_KEY",
        ["--include-path-regex", "^/(v1|tokenize|detokenize|tokenizer_info)"],
    ),
    "management": (
        "MANAGEMENT_KEY",
        ["--include-path-regex", "^/api/",
         *(word for name in SELF_HARM for word in ("--exclude-operation-id", name))],
    ),
    "keys": (
        "SPARE_KEY",
        [word for name in ("keys_create", *SELF_HARM) for word in ("--include-operation-id", name)],
    ),
}  # fmt: skip
EXAMPLES = "15"


def try_part(key: str, which: list[str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run",
            f"{os.environ['SITE']}/api/schema/", "--url", os.environ["SITE"],
            "--header", f"Authorization: Bearer {key}", *which,
            "--phases", "examples,coverage,fuzzing", "--exclude-checks", EXCLUDED,
            "--max-examples", EXAMPLES, "--seed", "1", "--workers", "1", "--no-shrink",
            "--continue-on-failure", "--suppress-health-check", "all", "--request-timeout", "20",
            "--report", "json", "--report-json-path", str(report),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if not report.exists():
            sys.exit(done.stdout + done.stderr)
        found = json.loads(report.read_text())
    return {
        "complete": found["complete"],
        "failures": found["failures"],
        "errors": found["errors"],
        "tested": found["operations"]["tested"],
        "cases": found["test_cases"]["generated"],
        "said": done.stdout[-3000:],
    }


print(json.dumps({name: try_part(os.environ[key], args) for name, (key, args) in PARTS.items()}))
