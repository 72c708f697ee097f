"""The engine as a process: what it imports, how it starts, serves, drains and dies."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference.engine.__main__ import build_parser
from inference.engine.wire import engine_pb2
from tests.inference.engine.client import connect, eventually, open_stream

ROOT = Path(__file__).parents[3]
FAKE = ["--fake", "--fake-text", "a" * 3000, "--fake-tokens-per-second", "100"]


@contextlib.asynccontextmanager
async def engine(
    socket: Path, *options: str, patience_s: float = 60
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start an engine process; yield it when it has said that it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "inference.engine", "--listen", f"unix:{socket}", *options),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), patience_s)
        assert line.startswith(b"engine ready: "), await _errors(process)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _errors(process: asyncio.subprocess.Process) -> str:
    return (await process.communicate())[1].decode()


@pytest.mark.parametrize(
    "module", ["fake", "params", "wire.answering", "wire.messages", "server", "__main__"]
)
def test_it_imports_no_torch_transformers_or_django(module: str) -> None:
    code = (
        f"import inference.engine.{module}, sys; "
        "print([m for m in ('torch', 'transformers', 'django') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert out.stdout.decode().strip() == "[]"


@pytest.mark.parametrize("module", ["scheduler", "loop", "detokenizer", "runner"])
def test_the_deciding_half_imports_no_torch_and_nothing_imports_django(module: str) -> None:
    code = (
        f"import inference.engine.{module}, sys; "
        "print('torch' in sys.modules, 'django' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert out.stdout.decode().split() == [str(module == "runner"), "False"]


async def test_sigterm_drains_and_exits(tmp_path: Path) -> None:
    async with engine(tmp_path / "e", *FAKE) as process:
        async with connect(f"unix:{tmp_path}/e") as stub, open_stream(stub) as stream:
            running = await stream.submit([1], max_tokens=200)
            await stream.until(lambda: len(running.token_ids) > 3)
            process.send_signal(signal.SIGTERM)
            await eventually(stub, lambda n: n.num_running == 1)
            unaware = await stream.submit([2], max_tokens=50)
            await stream.finish()
        assert (running.finish, len(running.token_ids)) == ("FINISH_LENGTH", 200)
        assert (unaware.finish, len(unaware.token_ids)) == ("FINISH_LENGTH", 50)
        assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_a_killed_web_process_frees_its_sequences(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from tests.inference.engine.client import connect, open_stream\n"
        "async def main():\n"
        "    async with connect(sys.argv[1]) as stub, open_stream(stub) as stream:\n"
        "        outcomes = [await stream.submit([n], max_tokens=2000) for n in range(3)]\n"
        "        await stream.until(lambda: all(o.token_ids for o in outcomes))\n"
        "        print('streaming', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    address = f"unix:{tmp_path}/e"
    async with engine(tmp_path / "e", *FAKE), connect(address) as stub:
        web = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, address, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert web.stdout is not None
        assert await asyncio.wait_for(web.stdout.readline(), 60) == b"streaming\n"
        await eventually(stub, lambda n: n.num_running == 3)
        web.kill()
        numbers = await eventually(stub, lambda n: n.num_running == 0)
        assert numbers.kv_blocks_used == 0
        await web.communicate()


async def test_it_exits_with_its_own_status_when_the_device_is_lost(tmp_path: Path) -> None:
    async with (
        engine(tmp_path / "e", *FAKE, "--fake-crash-after", "3") as process,
        connect(f"unix:{tmp_path}/e") as stub,
        open_stream(stub) as stream,
    ):
        await stream.submit([1], max_tokens=50)
        assert await asyncio.wait_for(process.wait(), 60) == 70


async def test_no_engine_outlives_its_parent(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec("sleep", "60")
    async with engine(tmp_path / "e", *FAKE, "--parent-pid", str(parent.pid)) as process:
        parent.kill()
        await parent.wait()
        assert await asyncio.wait_for(process.wait(), 60) == 0


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--kv-blocks", ["0", "-1", "1.5"]),
        ("--block-size", ["-16"]),
        ("--threads", ["-3"]),
        ("--memory-shares", ["0"]),
        ("--engine-number", ["0"]),
        ("--memory-fraction", ["0", "nan", "-0.5", "1.01", "inf"]),
        ("--max-waiting", ["-1", "2.5"]),
        ("--max-drafts", ["-1"]),
        ("--max-stretch", ["nan", "inf", "-1", "0.5", "1"]),
        ("--drain-seconds", ["nan", "inf", "-1"]),
    ],
)
def test_sizes_that_are_none_are_refused_by_name(
    option: str, values: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for value in values:
        with pytest.raises(SystemExit):
            build_parser().parse_args([option, value])
        assert f"argument {option}: " in capsys.readouterr().err
    fitting = "2" if option == "--max-stretch" else "1"
    assert build_parser().parse_args([option, fitting])


async def test_it_says_why_it_cannot_start(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inference.engine", cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"--path" in errors


async def test_it_takes_over_the_socket_of_an_engine_that_was_killed(tmp_path: Path) -> None:
    async with engine(tmp_path / "e", *FAKE) as process:
        process.kill()
        await process.wait()
        assert (tmp_path / "e").exists()
    async with engine(tmp_path / "e", *FAKE), connect(f"unix:{tmp_path}/e") as stub:
        assert (await stub.Info(engine_pb2.InfoRequest())).model == "fake"


async def test_it_says_that_it_cannot_listen(tmp_path: Path) -> None:
    command = ("-m", "inference.engine", "--fake", "--listen", f"unix:{tmp_path}/no/such/folder")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    assert b"engine: " in (await process.communicate())[1]
    assert process.returncode == 2


async def test_it_does_not_take_the_socket_of_an_engine_that_serves(tmp_path: Path) -> None:
    async with engine(tmp_path / "e", *FAKE):
        command = ("-m", "inference.engine", "--fake", "--listen", f"unix:{tmp_path}/e")
        second = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        assert b"engine: another process listens on" in (await second.communicate())[1]
        assert second.returncode == 2
        async with connect(f"unix:{tmp_path}/e") as stub:
            assert (await stub.Info(engine_pb2.InfoRequest())).model == "fake"


async def test_an_operator_may_ask_how_it_is(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/e"
    command = [sys.executable, "-m", "inference.engine.status", address]
    async with engine(tmp_path / "e", *FAKE) as process:
        done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True)
        told = json.loads(done.stdout)
        assert (done.returncode, told["model"], told["draining"]) == (0, "fake", False)
        process.send_signal(signal.SIGSTOP)
        hung = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True)
        assert (hung.returncode, hung.stdout) == (1, b"")
        assert b"was not answered within 2.0 s" in hung.stderr
    wrong = await asyncio.to_thread(
        subprocess.run, [*command[:-1], "50051"], cwd=ROOT, capture_output=True
    )
    assert (wrong.returncode, wrong.stderr.count(b"\n")) == (1, 1)
    assert b"'50051' is no address" in wrong.stderr


async def test_it_serves_a_checkpoint(tmp_path: Path) -> None:
    from tests.inference.engine.checkpoint import write_checkpoint

    write_checkpoint(tmp_path / "tiny")
    options = ("--path", str(tmp_path / "tiny"), "--device", "cpu", "--threads", "1")
    address = f"unix:{tmp_path}/e"
    async with engine(tmp_path / "e", *options), connect(address) as stub:
        info = await stub.Info(engine_pb2.InfoRequest())
        assert (info.model, info.dtype, info.max_model_len) == ("tiny", "float32", 512)
        assert list(info.eos_token_ids) == [256, 258]
        assert len(info.revision) == 16
        chat = engine_pb2.ChatPrompt(
            messages=[engine_pb2.ChatMessage(role="user", content="hi <|end|>")],
            add_generation_prompt=True,
        )
        prompt = (await stub.Tokenize(engine_pb2.TokenizeRequest(chat=chat))).token_ids
        assert list(prompt).count(258) == 1
        async with open_stream(stub) as stream:
            first, second = [
                await stream.submit(list(prompt), max_tokens=20, ignore_eos=True) for _ in range(2)
            ]
            await stream.finish()
        assert first.token_ids == second.token_ids
        assert len(first.token_ids) == 20
        assert second.cached_tokens == 16
        back = await stub.Detokenize(engine_pb2.DetokenizeRequest(token_ids=first.token_ids))
        assert first.text in back.text or "<|" in back.text


def test_check_gives_the_reason_of_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bloom"}))
    command = [sys.executable, "-m", "inference.engine.check", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "attention interface" in done.stderr


def test_check_tells_a_catalogue_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from inference.engine import check

    config = {"model_type": "llama", "max_position_embeddings": 99, "vocab_size": 7}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(sys, "argv", ["check", str(tmp_path)])
    check.main()
    facts = json.loads(capsys.readouterr().out)
    assert (facts["max_model_len"], facts["vocab_size"]) == (99, 7)
