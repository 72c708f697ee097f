"""The configuration in `deploy/` in a real nginx, before web processes that say what they see."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.environment import REPOSITORY
from tests.services import find_binary, free_port

SHIPPED = (REPOSITORY / "deploy" / "nginx.conf").read_text()
HOST = "parlance.example.com"
AROUND = """
pid {folder}/pid; error_log {folder}/error.log; daemon off; master_process off;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {shipped}
}}
"""


class Front:
    """nginx on ports of its own, and the ports of the two processes behind it."""

    def __init__(self, folder: Path) -> None:
        self.tls, self.plain = free_port(), free_port()
        self.backends = (free_port(), free_port())
        shipped = SHIPPED.replace("/etc/ssl/parlance", str(folder / "parlance"))
        for old, new in {
            "listen 443": f"listen 127.0.0.1:{self.tls}",
            "listen 80": f"listen 127.0.0.1:{self.plain}",
            ":8001": f":{self.backends[0]}", ":8002": f":{self.backends[1]}",
            "(8001|8002)": "({}|{})".format(*self.backends), "/var/log/nginx/": f"{folder}/",
            "allow 10.0.0.0/8;": "allow 10.0.0.0/8; allow 127.0.0.1;",
        }.items():  # fmt: skip
            assert old in shipped
            shipped = shipped.replace(old, new)
        self.log = folder / "parlance.log"
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, shipped=shipped))


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("nginx")
    binary, openssl = find_binary("nginx", "nginx"), find_binary("openssl", "openssl")
    made = Front(folder)
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOST}",
         "-keyout", folder / "parlance.key", "-out", folder / "parlance.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    with subprocess.Popen([binary, "-p", folder, "-c", folder / "nginx.conf"]) as process:
        try:
            deadline = time.monotonic() + 30
            while not (folder / "pid").exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield made
        finally:
            process.terminate()
    shutil.rmtree(folder)


@asynccontextmanager
async def web_process(port: int, go_on: asyncio.Event | None = None) -> AsyncIterator[None]:
    """Answers with the headers that it got; the second piece waits until it is to go on."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        seen = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        if "upgrade" in seen:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n")
            writer.write(b"connection: upgrade\r\n\r\n")
        else:
            said = json.dumps(seen)
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\nx-request-id: req_7\r\n\r\n")
            writer.write(said.encode() + b"\n")
            await writer.drain()
            if go_on is not None:
                await go_on.wait()
            writer.write(b"end\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield


def client(front: Front, **options: Any) -> httpx.AsyncClient:
    base = f"https://127.0.0.1:{front.tls}"
    return httpx.AsyncClient(base_url=base, verify=False, headers={"host": HOST}, **options)


async def ask(front: Front) -> int:
    """On a connection of its own."""
    async with client(front) as session:
        return (await session.post("/v1/completions", json={})).status_code


def test_web_processes_replaced_one_by_one_are_found_at_once(front: Front) -> None:
    async def replace() -> set[int]:
        first, second = front.backends
        async with web_process(second):
            seen = [await ask(front) for _ in range(4)]
            async with web_process(first):
                pass
        async with web_process(first):
            return {*seen, *[await ask(front) for _ in range(4)]}

    assert asyncio.run(replace()) == {200}


def test_a_stream_comes_as_it_is_made(front: Front) -> None:
    """Its beginning is read while the rest is not made yet."""

    async def listen() -> list[str]:
        heard = asyncio.Event()
        lines = []
        async with (
            web_process(front.backends[0], go_on=heard),
            client(front, timeout=30) as session,
            session.stream("GET", "/stream") as answer,
        ):
            async for line in answer.aiter_lines():
                lines.append(line)
                heard.set()
        return lines

    assert asyncio.run(listen())[-1] == "end"


def test_a_web_process_is_told_who_asks_and_how(front: Front) -> None:
    async def look() -> dict[str, str]:
        async with web_process(front.backends[0]), client(front) as session:
            forged = {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "http"}
            answer = await session.get("/", headers=forged)
        seen: dict[str, str] = json.loads(answer.text.splitlines()[0])
        return seen

    seen = asyncio.run(look())
    assert seen["host"] == HOST
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "https")


def test_a_socket_is_let_through(front: Front) -> None:
    async def shake_hands() -> int:
        upgrade = {"connection": "Upgrade", "upgrade": "websocket"}
        async with (
            web_process(front.backends[0]),
            client(front) as session,
            session.stream("GET", "/ws/playground/", headers=upgrade) as answer,
        ):
            return answer.status_code

    assert asyncio.run(shake_hands()) == 101


def test_metrics_stay_inside_and_plain_http_leads_to_tls(front: Front) -> None:
    async def look() -> tuple[int, str]:
        async with web_process(front.backends[0]), client(front) as session:
            metrics = await session.get("/metrics")
            plain = await session.get(f"http://127.0.0.1:{front.plain}/docs/?a=b")
        return metrics.status_code, plain.headers["location"]

    assert asyncio.run(look()) == (403, f"https://{HOST}/docs/?a=b")


def test_metrics_are_those_of_one_process_and_never_of_one_by_chance(front: Front) -> None:
    async def look() -> tuple[list[str], int]:
        first, second = front.backends
        async with web_process(first), web_process(second), client(front) as session:
            asked = [await session.get(f"/metrics/{port}") for port in (second, second, first)]
            by_chance = await session.get("/metrics")
        hosts = [json.loads(answer.text.splitlines()[0])["host"] for answer in asked]
        return hosts, by_chance.status_code

    first, second = (f"127.0.0.1:{port}" for port in front.backends)
    assert asyncio.run(look()) == ([second, second, first], 403)


def test_a_line_of_the_log_has_the_id_by_which_the_site_knows_the_request(front: Front) -> None:
    async def call() -> None:
        async with web_process(front.backends[0]), client(front) as session:
            await session.get("/docs/?token=hunter2")

    asyncio.run(call())
    deadline = time.monotonic() + 30
    while '"GET /docs/" 200' not in front.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    line = next(each for each in front.log.read_text().splitlines() if "/docs/" in each)
    assert line.endswith(" req_7")
    assert "hunter2" not in line
