"""Samples of "view code": each is run as it is printed, against a real server."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from playground import protocol
from playground.protocol import Run
from playground.snippets import snippets
from tests.inference.conftest import Books
from tests.playground.conftest import Site, run

# Everything that a shell or a language could take for its own.
HOSTILE = 'it\'s "$HOME" `id` $(id) \\n \\u0041 ${x} {y} %s\n</script>\u2028 é 👋🏽'
PARAMETERS = {
    "temperature": 0.5,
    "max_tokens": 300,
    "top_k": 5,
    "min_p": 0.1,
    "seed": 7,
    "stop": ["\n\n"],
}


def frame(**fields: object) -> Run:
    parsed = protocol.parse(json.dumps(run(**fields)))  # type: ignore[arg-type]
    assert isinstance(parsed, Run)
    return parsed


def code(name: str, shown: Run, base_url: str = "http://localhost:8000") -> str:
    return next(s.code for s in snippets(shown, base_url) if s.name == name)


async def output(*command: str, secret: str) -> str:
    """What a sample prints; it runs beside the server in this event loop."""
    env = {**os.environ, "OPENAI_API_KEY": secret}
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("name", ["python", "websocket"])
@pytest.mark.parametrize("shape", ["chat", "completion"])
async def test_the_python_samples_run(
    site: Site, secret: str, books: Books, tmp_path: Path, name: str, shape: str
) -> None:
    fields: dict[str, object] = {"content": HOSTILE, "parameters": PARAMETERS}
    if shape == "completion":
        fields = {"messages": None, "prompt": HOSTILE, "parameters": PARAMETERS}
    sample = tmp_path / "sample.py"
    sample.write_text(code(name, frame(**fields), site.origin), encoding="utf-8")
    printed = await output(sys.executable, str(sample), secret=secret)
    assert 'it\'s "$HOME" `id` $(id) \\n \\u0041 ${x} {y} %s' in printed
    [record] = await books.settled(1)
    assert record.endpoint == ("completions" if shape == "completion" else "chat.completions")


async def test_the_curl_sample_runs(site: Site, secret: str, books: Books) -> None:
    shown = frame(content=HOSTILE, parameters=PARAMETERS)
    printed = await output("sh", "-c", code("curl", shown, site.origin), secret=secret)
    assert printed.rstrip().endswith("data: [DONE]")
    deltas = [json.loads(line[6:]) for line in printed.split("\n") if line.startswith("data: {")]
    text = "".join(
        choice["delta"].get("content") or "" for delta in deltas for choice in delta["choices"]
    )
    assert 'it\'s "$HOME" `id` $(id) \\n \\u0041 ${x} {y} %s' in text


async def test_the_curl_sample_of_a_long_chat_runs(site: Site, secret: str, tmp_path: Path) -> None:
    """A shell hands no command an argument of 128 KiB."""
    sample = tmp_path / "sample.sh"
    sample.write_text(code("curl", frame(content=HOSTILE * 3000), site.origin), encoding="utf-8")
    assert sample.stat().st_size > 2**17
    printed = await output("sh", str(sample), secret=secret)
    assert "maximum context length" in printed


def test_the_javascript_sample_is_javascript(tmp_path: Path) -> None:
    from tests.playground.test_modules import node

    sample = tmp_path / "sample.mjs"
    sample.write_text(code("javascript", frame(content=HOSTILE, parameters=PARAMETERS)))
    subprocess.run([node(), "--check", str(sample)], check=True, timeout=60)


def test_a_sample_holds_only_what_was_changed() -> None:
    shown = frame(parameters={"temperature": 1.0, "max_tokens": 5})
    for snippet in snippets(shown, "http://localhost:8000"):
        assert "max_tokens" in snippet.code
        assert "temperature" not in snippet.code
        assert "sk-" not in snippet.code
