"""Strangers' grammars are compiled within bounds, or refused with a sentence; nobody waits."""

import asyncio
import contextlib
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from inference.engine import fake
from inference.engine.grammar import CompiledGrammar, Grammars, Vocabulary
from inference.engine.grammar_compiler import CompilingFailedError, GrammarCompiler
from inference.engine.grammar_trial import LIMIT_S, STALLED_S
from inference.engine.params import Grammar
from inference.engine.server import EngineServer
from inference.engine.wire import engine_pb2
from inference.engine.wire.errors import CallError, Code
from inference.engine.wire.messages import grammar_to_wire
from tests.inference.engine.client import Stream, Stub, connect, open_stream
from tests.inference.engine.grammars import (
    HARD,
    PERSON,
    REFUSED,
    schema,
)

# Of a processor: a start of the child, which reads a vocabulary, and the neighbour's tokens.
GRACE_S = 3.0
SLOW = HARD["a huge divisor"]


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def decide(compiler: GrammarCompiler, grammar: Grammar) -> CompiledGrammar:
    """Ask until the machine has not stood still meanwhile."""
    while True:
        with contextlib.suppress(CompilingFailedError):
            return await compiler.compile(grammar, "alice")


@pytest.mark.parametrize("words", REFUSED)
async def test_a_grammar_that_cannot_be_followed_is_refused_with_the_reason(
    compiler: GrammarCompiler, words: str
) -> None:
    with pytest.raises(ValueError, match=r"\AThe grammar cannot be used: .*\.\Z") as refusal:
        await compiler.compile(REFUSED[words], "alice")
    assert words in str(refusal.value)


def test_more_text_than_is_ever_compiled_is_refused() -> None:
    with pytest.raises(ValueError, match="the grammar has 200,000 characters; at most 131,072"):
        Grammar("regex", "a" * 200_000)


async def test_a_model_without_an_end_is_refused(compiler: GrammarCompiler) -> None:
    endless = Grammars(Vocabulary(tokens=(b"a",), special=(), ends=(), size=1))
    with pytest.raises(ValueError, match="this model has no end token"):
        endless.compile(Grammar("regex", "a"))


async def test_lenient_ignores_what_cannot_be_enforced(compiler: GrammarCompiler) -> None:
    loose = {"type": "string", "not": {"const": "a"}, "format": "zzz"}
    await compiler.compile(schema(loose, lenient=True), "alice")
    overlapping = {"oneOf": [{"type": "integer"}, {"type": "number"}]}
    await compiler.compile(schema(overlapping, lenient=True), "alice")


async def test_it_is_compiled_once_and_refused_once(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await compiler.compile(schema(PERSON), "alice")
    with pytest.raises(ValueError, match="takes longer than a second"):
        await decide(compiler, SLOW)

    def fail(*_: object) -> None:
        pytest.fail("tried again")

    monkeypatch.setattr(compiler._trial, "run", fail)
    assert await compiler.compile(schema(PERSON), "bob") is first
    with pytest.raises(ValueError, match="takes longer than a second"):
        await compiler.compile(SLOW, "bob")


async def test_a_flood_of_slow_grammars_delays_another_tenant_by_one(
    compiler: GrammarCompiler,
) -> None:
    slow = [schema({"type": "integer", "multipleOf": 999_983 + 2 * n}) for n in range(5)]
    flood = [asyncio.create_task(compiler.compile(grammar, "mallory")) for grammar in slow]
    await asyncio.sleep(0)
    await compiler.compile(schema(PERSON), "alice")
    assert sum(task.done() for task in flood) <= 1
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)


async def test_the_next_grammar_is_not_blamed_for_a_child_that_died(
    compiler: GrammarCompiler,
) -> None:
    await compiler.compile(Grammar("regex", "a"), "alice")
    child = compiler._trial._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    await compiler.compile(Grammar("regex", "b"), "alice")
    with pytest.raises(ValueError, match="takes longer than a second"):
        await decide(compiler, SLOW)
    await compiler.compile(Grammar("regex", "c"), "alice")


async def test_a_machine_that_stood_still_is_not_the_grammars_fault(
    compiler: GrammarCompiler,
) -> None:
    await compiler.compile(Grammar("regex", "warm"), "alice")
    child = compiler._trial._child
    assert child is not None
    grammar = schema({"type": "integer", "multipleOf": 49_999})  # a fifth of a second
    held_up = asyncio.create_task(compiler.compile(grammar, "alice"))
    await asyncio.sleep(0.05)
    with stopped(child.pid):
        await asyncio.sleep(LIMIT_S + 0.2)
    await held_up


async def test_what_the_clock_ended_is_tried_again(compiler: GrammarCompiler) -> None:
    await compiler.compile(Grammar("regex", "warm"), "alice")
    child = compiler._trial._child
    assert child is not None
    held_up = asyncio.create_task(compiler.compile(SLOW, "alice"))
    await asyncio.sleep(0.2)
    with stopped(child.pid):
        await asyncio.sleep(STALLED_S)
    with pytest.raises(CompilingFailedError):
        await held_up
    with pytest.raises(ValueError, match="takes longer than a second"):
        await decide(compiler, SLOW)


async def test_no_grammar_is_blamed_for_a_child_that_does_not_start(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("inference.engine.grammar_trial.sys.executable", "false")
        with pytest.raises(CompilingFailedError):
            await compiler.compile(Grammar("regex", "a"), "alice")
    await compiler.compile(Grammar("regex", "a"), "alice")


# Behind a server.


async def check(
    stub: Stub, grammar: Grammar, tenant: str = "alice"
) -> engine_pb2.CheckGrammarReply:
    request = engine_pb2.CheckGrammarRequest(tenant=tenant, grammar=grammar_to_wire(grammar))
    return await stub.CheckGrammar(request, timeout=20)


@pytest.fixture
async def engine() -> AsyncIterator[tuple[Stub, Stream, EngineServer]]:
    options = fake.FakeOptions(tokens_per_second=200)
    async with (
        fake.running(options) as (address, server),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        yield stub, stream, server


Engine = tuple[Stub, Stream, EngineServer]


async def refused(stub: Stub, grammar: Grammar) -> CallError | None:
    try:
        await check(stub, grammar)
    except CallError as error:
        return error
    return None


def processor_s(compiler: GrammarCompiler) -> float:
    """What this process, its children that ended and the one that tries grammars have used."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    child, ticks = compiler._trial._child, 0
    if child is not None and child.poll() is None:
        ticks = sum(map(int, Path(f"/proc/{child.pid}/stat").read_text().split()[13:15]))
    running_s = ticks / os.sysconf("SC_CLK_TCK")
    return time.process_time() + ended.ru_utime + ended.ru_stime + running_s


async def test_hard_grammars_are_decided_in_time_while_a_neighbour_streams(engine: Engine) -> None:
    stub, stream, server = engine
    neighbour = await stream.submit([65, 66], max_tokens=8000, ignore_eos=True)
    await check(stub, Grammar("regex", "warm"))
    accepted = set()
    for name, grammar in HARD.items():
        before, began = len(neighbour.token_ids), processor_s(server.compiler)
        refusal = await refused(stub, grammar)
        while refusal is not None and refusal.code is Code.INTERNAL:  # the machine stood still
            began = processor_s(server.compiler)
            refusal = await refused(stub, grammar)
        if refusal is None:
            accepted.add(name)
            outcome = await stream.submit([65], max_tokens=10, grammar=grammar, temperature=1.0)
            await stream.until(lambda outcome=outcome: outcome.finish)
        else:
            assert refusal.code is Code.INVALID_ARGUMENT, refusal
            assert refusal.sentence.startswith("The grammar cannot be used: ")
        took = processor_s(server.compiler) - began
        assert took < LIMIT_S + GRACE_S, name
        if took > LIMIT_S / 2:
            assert len(neighbour.token_ids) > before, f"{name}: the neighbour stood still"
    assert not neighbour.finish
    assert len(HARD) / 2 < len(accepted) < len(HARD)
    assert "a huge divisor" not in accepted


async def test_a_refused_grammar_ends_its_own_sequence(engine: Engine) -> None:
    _, stream, _ = engine
    bad = await stream.submit([65], max_tokens=10, grammar=Grammar("regex", "(a"))
    good = await stream.submit([65], max_tokens=10, grammar=Grammar("choices", '["yes"]'))
    await stream.finish()
    assert (bad.finish, bad.error) == (
        "FINISH_ERROR",
        "The grammar cannot be used: unclosed group.",
    )
    assert (good.finish, good.text) == ("FINISH_STOP", "yes")


async def test_a_compiler_that_crashes_leaves_the_stream_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stream, server = engine

    class Panic(BaseException):
        """As a library written in Rust raises it."""

    def crash(*_: object) -> None:
        raise Panic

    with monkeypatch.context() as patch:
        patch.setattr(server.compiler._trial, "run", crash)
        bad = await stream.submit([65], max_tokens=10, grammar=Grammar("regex", "new"))
        await stream.until(lambda: bad.finish)
    assert (bad.finish, bad.error) == ("FINISH_ERROR", "The engine could not compile the grammar.")
    again = await stream.submit([65], max_tokens=10, grammar=Grammar("regex", "new"))
    await stream.until(lambda: again.finish)
    assert again.text == "new"


async def test_who_finds_no_room_for_a_grammar_is_asked_to_come_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, stream, _ = engine
    with monkeypatch.context() as patch:
        for limit in ("KEPT_BYTES", "HELD_BYTES", "NUM_KEPT"):
            patch.setattr(f"inference.engine.grammar.{limit}", 0)
        assert (await check(stub, Grammar("regex", "new"))).full
        refused = await stream.submit([65], max_tokens=10, grammar=Grammar("regex", "new"))
        free = await stream.submit([65], max_tokens=10)
        await stream.finish()
    assert (refused.finish, free.finish) == ("FINISH_OVERLOADED", "FINISH_LENGTH")
    assert not (await check(stub, Grammar("regex", "new"))).full


async def test_a_grammar_without_a_source_is_refused(engine: Engine) -> None:
    stub, _, _ = engine
    with pytest.raises(CallError, match="the grammar has no source"):
        await stub.CheckGrammar(engine_pb2.CheckGrammarRequest(), timeout=20)


async def test_a_sequence_is_cancelled_while_its_grammar_compiles(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stream, server = engine
    started = asyncio.Event()

    async def never(*_: object) -> None:
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(server.compiler, "compile", never)
    outcome = await stream.submit([65], max_tokens=10, grammar=Grammar("regex", "a"))
    await started.wait()
    await stream.cancel(1)
    await stream.until(lambda: outcome.finish)
    assert (outcome.finish, outcome.token_ids) == ("FINISH_CANCELLED", [])


async def test_a_deadline_ends_what_waits_for_its_grammar(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stream, server = engine

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(server.compiler, "compile", never)
    late = await stream.submit([65], max_tokens=9, grammar=Grammar("regex", "a"), deadline_s=0.05)
    await stream.until(lambda: late.finish)
    assert (late.finish, late.token_ids) == ("FINISH_DEADLINE", [])


async def test_a_deadline_counts_what_the_grammar_took(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stream, server = engine
    compile_now = server.compiler.compile

    async def compile_late(grammar: Grammar, tenant: str) -> CompiledGrammar:
        await asyncio.sleep(1.0)
        return await compile_now(grammar, tenant)

    monkeypatch.setattr(server.compiler, "compile", compile_late)
    grammar = Grammar("regex", "a{2000}")
    await compile_now(grammar, "alice")
    outcome = await stream.submit([65], max_tokens=2000, grammar=grammar, deadline_s=1.5)
    await stream.until(lambda: outcome.finish)
    assert outcome.finish == "FINISH_DEADLINE"
    assert len(outcome.token_ids) < 200  # there are 200 in a second


async def test_the_fake_keeps_to_a_grammar_and_says_its_text_where_it_may() -> None:
    wanted = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    grammars = [schema(wanted), Grammar("regex", "h[a-z]*"), Grammar("regex", "abc?")]
    async with (
        fake.running(fake.FakeOptions(text="hello")) as (address, _),
        connect(address) as stub,
        open_stream(stub) as stream,
    ):
        outcomes = [await stream.submit([65], max_tokens=99, grammar=g) for g in grammars]
        await stream.finish()
    assert [outcome.text for outcome in outcomes] == ['{"a":0}', "hello", "ab"]
