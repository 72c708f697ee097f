"""The exact request of the page as code: "view code" and nothing else writes these samples.

What a person typed is data here: each sample quotes it by the rules of its own language, and a
test runs every sample against the server.
"""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from playground.protocol import Run

KEY_VARIABLE = "OPENAI_API_KEY"
# Linux takes no longer argument of a command.
LONGEST_ARGUMENT_BYTES = 128 * 1024 - 1
# What OpenAI's library has no argument for.
EXTENSIONS = frozenset({"top_k", "min_p", "repetition_penalty"})


@dataclass(frozen=True, slots=True)
class Snippet:
    name: str
    label: str
    code: str


def snippets(run: Run, base_url: str) -> list[Snippet]:
    return [
        Snippet("curl", "curl", curl(run, base_url)),
        Snippet("python", "Python", python(run, base_url)),
        Snippet("javascript", "JavaScript", javascript(run, base_url)),
        Snippet("websocket", "WebSocket", websocket(run, base_url)),
    ]


def curl(run: Run, base_url: str) -> str:
    body = json.dumps(rest_body(run), ensure_ascii=False, indent=2)
    data = shlex.quote(body)
    if len(body.encode()) > LONGEST_ARGUMENT_BYTES:
        data = f"@- <<'JSON'\n{body}\nJSON"  # no line of JSON is that word
    return (
        f"curl {base_url}/v1/{path_of(run)} \\\n"
        f'  -H "Authorization: Bearer ${KEY_VARIABLE}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {data}\n"
    )


def python(run: Run, base_url: str) -> str:
    body = rest_body(run)
    extra = {name: body.pop(name) for name in sorted(EXTENSIONS & body.keys())}
    if extra:
        body["extra_body"] = extra
    arguments = "".join(f"    {name}={as_python(value, 1)},\n" for name, value in body.items())
    text = ".delta.content" if run.messages is not None else ".text"
    calls = (
        "        for call in chunk.choices[0].delta.tool_calls or []:\n            print(call)\n"
    )
    return (
        "import os\n\n"
        "from openai import OpenAI\n\n"
        f"client = OpenAI(\n    base_url={as_python(base_url + '/v1')},\n"
        f'    api_key=os.environ["{KEY_VARIABLE}"],\n)\n'
        f"stream = client.{method_of(run)}.create(\n{arguments})\n"
        "for chunk in stream:\n"
        "    if chunk.choices:\n"
        f'        print(chunk.choices[0]{text} or "", end="", flush=True)\n'
        f"{calls if run.parameters.tools else ''}"
        "print()\n"
    )


def javascript(run: Run, base_url: str) -> str:
    body = json.dumps(rest_body(run), ensure_ascii=False, indent=2)
    text = "?.delta?.content" if run.messages is not None else "?.text"
    calls = "  for (const call of chunk.choices[0]?.delta?.tool_calls ?? []) console.log(call);\n"
    return (
        'import OpenAI from "openai";\n\n'
        f"const client = new OpenAI({{\n  baseURL: {json.dumps(base_url + '/v1')},\n"
        f"  apiKey: process.env.{KEY_VARIABLE},\n}});\n"
        f"const stream = await client.{method_of(run)}.create({body});\n"
        "for await (const chunk of stream) {\n"
        f'  process.stdout.write(chunk.choices[0]{text} ?? "");\n'
        f"{calls if run.parameters.tools else ''}"
        "}\n"
    )


def websocket(run: Run, base_url: str) -> str:
    address = base_url.replace("http", "ws", 1) + "/ws/playground/"
    frame = {"type": "run", "id": "1", **request_of(run)}
    calls = "                print(*frame.get('tool_calls', []))\n"
    return (
        "import asyncio\nimport json\nimport os\n\n"
        "from websockets.asyncio.client import connect\n\n"
        f"RUN = {as_python(frame)}\n\n\n"
        "async def main():\n"
        f'    headers = {{"Authorization": f"Bearer {{os.environ[\'{KEY_VARIABLE}\']}}"}}\n'
        f"    async with connect({as_python(address)}, additional_headers=headers) as socket:\n"
        "        await socket.send(json.dumps(RUN))\n"
        "        async for text in socket:\n"
        "            frame = json.loads(text)\n"
        '            if frame["type"] == "delta":\n'
        '                print(frame["text"], end="", flush=True)\n'
        f"{calls if run.parameters.tools else ''}"
        '            elif frame["type"] == "finished":\n'
        '                print("\\n", frame["summary"])\n'
        "                return\n"
        '            elif frame["type"] == "error":\n'
        '                raise SystemExit(frame["error"]["message"])\n\n\n'
        "asyncio.run(main())\n"
    )


def path_of(run: Run) -> str:
    return "completions" if run.messages is None else "chat/completions"


def method_of(run: Run) -> str:
    return path_of(run).replace("/", ".")


def request_of(run: Run) -> dict[str, Any]:
    """Model, messages or prompt, and the parameters that were changed."""
    fields = {"model", "messages", "prompt", "parameters"}
    return run.model_dump(include=fields, by_alias=True, exclude_defaults=True)


def rest_body(run: Run) -> dict[str, Any]:
    body = request_of(run)
    parameters = body.pop("parameters", {})
    if run.messages is None and parameters.pop("logprobs", False):
        parameters["logprobs"] = parameters.pop("top_logprobs", 0)  # that endpoint's form
    return {**body, **parameters, "stream": True}


def as_python(value: Any, depth: int = 0) -> str:
    """A literal, one member a line."""
    inside, outside = "    " * (depth + 1), "    " * depth
    if isinstance(value, dict) and value:
        members = [f"{as_python(k)}: {as_python(v, depth + 1)}" for k, v in value.items()]
    elif isinstance(value, list) and value:
        members = [as_python(member, depth + 1) for member in value]
    elif isinstance(value, str):
        # JSON's escapes are Python's too; characters that need none stay as they are.
        return json.dumps(value, ensure_ascii=False)
    else:
        return repr(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    lines = "".join(f"{inside}{member},\n" for member in members)
    return f"{opening}\n{lines}{outside}{closing}"
