"""Every sample of the documentation, taken from the running site and run as it stands."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from portal.pages.docs import PAGES
from tests.inference.engine.encoders.checkpoints import write_encoder
from tests.story.site import Site, embedded_site

pytestmark = pytest.mark.slow
RUN_S = 60


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with embedded_site(tmp_path_factory.mktemp("site"), ENGINE_FAKE="true") as running:
        yield running


@pytest.fixture(scope="module")
def key(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A key, on a site that offers encoders too, added as an operator does it."""
    key = site.issue_key("docs@example.com", "5")
    headers = {"authorization": f"Bearer {key}"}
    for name, masked, path in (("vectors", False, "embeddings"), ("masks", True, "fill-mask")):
        folder = tmp_path_factory.mktemp(name)
        write_encoder(folder, masked=masked)
        site.manage("addmodel", name, str(folder), "--input", "0.02")
        sent = {"model": name, "input": "Paris is the [MASK] of France."}
        deadline = time.monotonic() + RUN_S
        while (
            answer := httpx.post(f"{site.url}/v1/{path}", json=sent, headers=headers)
        ).status_code != 200:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.5)
    return key


@pytest.fixture(scope="module")
def management_key(site: Site, key: str) -> str:
    """Of the same organisation."""
    name = ("--email", "docs@example.com", "--name", "management")
    return site.manage("issuekey", *name, "--scope", "management").strip()


def samples(site: Site, slug: str, language: str) -> list[str]:
    text = httpx.get(f"{site.url}/docs/{slug}.md").raise_for_status().text
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(command: list[str], key: str, stdin: str, management_key: str = "") -> str:
    environment = {**os.environ, "OPENAI_API_KEY": key, "MANAGEMENT_KEY": management_key}
    done = subprocess.run(
        command, input=stdin, env=environment, timeout=RUN_S, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{stdin}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("slug", list(PAGES))
def test_shell_samples_answer(site: Site, key: str, management_key: str, slug: str) -> None:
    for sample in samples(site, slug, "bash"):
        if sample.startswith("export"):
            continue
        command = sample.replace("curl ", "curl -sS --fail-with-body ", 1)
        answer = run(["bash", "-e"], key, command, management_key)
        if '"stream": true' in sample:
            assert answer.rstrip().endswith("data: [DONE]")
        else:
            assert "error" not in json.loads(answer)


@pytest.mark.parametrize("slug", list(PAGES))
def test_python_samples_print_an_answer(site: Site, key: str, slug: str) -> None:
    for sample in samples(site, slug, "python"):
        assert run([sys.executable, "-"], key, sample).strip()


@pytest.mark.parametrize("slug", list(PAGES))
def test_javascript_samples_can_be_read(site: Site, slug: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs)")
    for number, sample in enumerate(samples(site, slug, "javascript")):
        file = tmp_path / f"{number}.mjs"
        file.write_text(sample)
        subprocess.run([node, "--check", str(file)], check=True, timeout=RUN_S)


def test_the_request_made_by_a_sample_is_listed_with_its_cost(site: Site, key: str) -> None:
    """The quickstart's promise: a moment later the call is on record."""
    run(["bash", "-e"], key, samples(site, "quickstart", "bash")[1])
    count = site.manage(
        "shell", "-v0", "-c",
        "from billing.models import UsageRecord as U;"
        "print(U.objects.filter(cost_nanos__gt=0, face='api').count())",
    )  # fmt: skip
    assert int(count.strip().splitlines()[-1]) > 0
