"""Samples in Python, each in a fork of a process that has loaded the libraries which they use."""

import os
from typing import Any

import anthropic  # noqa: F401
import httpx  # noqa: F401
import openai  # noqa: F401

from tests.forks import serve


def run(job: dict[str, Any]) -> None:
    os.environ.update(job["env"])
    exec(compile(job["sample"], "<sample>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    serve(run)
