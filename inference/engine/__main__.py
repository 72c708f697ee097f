"""Starts an engine: `python -m inference.engine --path DIR --listen 127.0.0.1:50051`.

Prints one line when it is ready. SIGTERM or SIGINT drains and exits; a second one exits at once.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import math
import os
import signal
import sys
from typing import Any

import uvloop

from inference.engine import fake, heap
from inference.engine.encoders import fake as fake_encoder
from inference.engine.encoders.jobs import EncoderLimits
from inference.engine.encoders.server import EncoderServer, ServedEncoder
from inference.engine.limits import SchedulerLimits
from inference.engine.plan import DEVICE_LOST_STATUS
from inference.engine.server import EngineServer, Served

PARENT_POLL_S = 0.5


def count(text: str) -> int:
    """Read a number of things, of which there is at least one."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1, not {number}")
    return number


def count_or_none(text: str) -> int:
    """Read a number of things, of which there may be none."""
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"it must be at least 0, not {number}")
    return number


def amount(text: str) -> float:
    """Read how much of something, from nothing on; neither nan nor infinity is an amount."""
    if not 0 <= (number := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"it must be a number from 0 on, not {number}")
    return number


def stretch(text: str) -> float:
    """Read how many times as long something may last; 0 is no limit."""
    if (number := amount(text)) != 0 and number <= 1:
        raise argparse.ArgumentTypeError(f"it must be above 1, or 0 for no limit, not {number}")
    return number


def fraction(text: str) -> float:
    """Read a part of a whole."""
    if not 0 < (number := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"it must be above 0 and at most 1, not {number}")
    return number


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="inference.engine", description="Serve one model.")
    add = parser.add_argument
    add("--model", help="name to serve the model under (default: the last part of its path)")
    add("--path", help="folder of a Hugging Face checkpoint, or its id on the Hub")
    add("--listen", default="127.0.0.1:50051", help="unix:/path or host:port (default %(default)s)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    add("--quantize", choices=("int8",), help="round the weights (default: leave them)")
    add("--tensor-parallel", type=count, default=1, help="GPUs (or CPU processes) for a model")
    add("--max-model-len", type=count, help="tokens of prompt and output together")
    add(
        "--kv-cache-dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of keys and values (default: the model's; on a CPU the checkpoint's if that is "
        "bfloat16 and --dtype auto)",
    )
    add("--kv-blocks", type=count, help="blocks of the key-value cache (default: by memory)")
    add("--memory-fraction", type=fraction, help="of the memory (see README.md) to use at most")
    add("--memory-shares", type=count, default=1, help="engines that divide it (default: 1)")
    add("--engine-number", type=count, default=1, help="which of them: they take GPUs in turn")
    add("--block-size", type=count, help="tokens in a block (default: 16 on CPU, 64 on CUDA)")
    add(
        "--token-budget",
        type=count,
        help="most tokens of a step (default: 8192 on CUDA, at most 768 on CPU)",
    )
    add(
        "--max-stretch",
        type=stretch,
        default=2.0,
        help="how much longer prompts may make the steps of running texts, as a factor; 0 for the "
        "fastest prefill (default %(default)s)",
    )
    add("--max-running", type=count, help="sequences at a time (default: 64 on CPU, 256 on CUDA)")
    add("--max-waiting", type=count_or_none, default=1024, help="then refuse (default %(default)s)")
    add(
        "--max-drafts",
        type=count_or_none,
        default=32,
        help="guessed tokens that a step may try, 0 for none (default %(default)s)",
    )
    add("--threads", type=count, help="of torch on CPU (default: physical cores)")
    add("--drain-seconds", type=amount, default=30.0, help="patience on SIGTERM")
    add("--parent-pid", type=int, help="exit when this process ends")
    add("--fake", action="store_true", help="recite instead of running a model")
    add("--fake-kind", choices=("text", "embeddings", "fill_mask"), default="text")
    add("--fake-text", help="what the fake says")
    add("--fake-tokens-per-second", type=amount, default=0.0, help="of each sequence")
    add("--fake-crash-after", type=int, help="tokens until the process dies")
    add("--fake-hang-after", type=int, help="tokens until the engine hangs")
    add("--fake-fail-on", default="", help="text of prompts that crash their step")
    add("--fake-odd-pieces", action="store_true", help="deliver frames late and merged")
    return parser


def build_served(args: argparse.Namespace) -> Served | ServedEncoder:
    """Put together what the arguments ask for. ValueError when it cannot be served."""
    if args.fake:
        return _build_fake(args) if args.fake_kind == "text" else _build_fake_encoder(args)
    if not args.path:
        raise ValueError("--path names the model's folder or its id on the Hub (or use --fake)")
    # Threads that spin while they wait made a busy two-core machine ten times slower. OpenMP reads
    # this when torch is loaded; hence also the import here (and the fake runs without torch).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if args.device != "cpu":
        from inference.engine.gpus import take_gpus

        args.memory_shares = take_gpus(args.engine_number, args.memory_shares, args.tensor_parallel)
    from inference.engine.encoders.checkpoint import encoder_facts

    facts = encoder_facts(args.path)
    if facts is not None:
        from inference.engine.encoders.build import build_encoder

        return build_encoder(args, facts)
    from inference.engine.build import build_real

    return build_real(args)


def _build_fake(args: argparse.Namespace) -> Served:
    return fake.build(
        fake.FakeOptions(
            model=args.model or "fake",
            text=args.fake_text,
            tokens_per_second=args.fake_tokens_per_second,
            crash_after=args.fake_crash_after,
            hang_after=args.fake_hang_after,
            fail_on=args.fake_fail_on,
            odd_pieces=args.fake_odd_pieces,
            num_blocks=args.kv_blocks or 4096,
            block_size=args.block_size or 16,
            limits=SchedulerLimits(
                max_model_len=args.max_model_len or 8192,
                token_budget=args.token_budget or 2048,
                max_running=args.max_running or 64,
                max_waiting=args.max_waiting,
                max_stretch=args.max_stretch,
            ),
        )
    )


def _build_fake_encoder(args: argparse.Namespace) -> ServedEncoder:
    longest = args.max_model_len or 512
    return fake_encoder.build(
        fake_encoder.FakeEncoderOptions(
            kind=args.fake_kind,
            model=args.model or "fake",
            tokens_per_second=args.fake_tokens_per_second,
            hang_after=args.fake_hang_after,
            fail_on=args.fake_fail_on,
            limits=EncoderLimits(
                max_model_len=longest,
                token_budget=max(args.token_budget or 4096, longest),
                max_waiting_tokens=args.max_waiting * longest,
            ),
        )
    )


async def serve(args: argparse.Namespace, served: Served | ServedEncoder) -> int:
    """Serve until told to stop; return the exit status."""
    server = EncoderServer(served) if isinstance(served, ServedEncoder) else EngineServer(served)
    address = await server.start(args.listen)
    stop = asyncio.Event()
    _install_signals(stop)
    sys.stdout.write(
        f"engine ready: {served.model} ({served.dtype} on {served.device}) listening on {address}\n"
    )
    sys.stdout.flush()
    waits: list[asyncio.Task[Any]] = [
        asyncio.create_task(stop.wait()),
        asyncio.create_task(server.died.wait()),
    ]
    if args.parent_pid:
        waits.append(asyncio.create_task(_parent_gone(args.parent_pid)))
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    if server.died.is_set():
        return DEVICE_LOST_STATUS
    if stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.drain(args.drain_seconds), args.drain_seconds)
    await server.stop(grace_s=1.0)
    return 0


def _install_signals(stop: asyncio.Event) -> None:
    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


async def _parent_gone(pid: int) -> None:
    """Return when process `pid` has ended. Our own parent has when we have got another one."""
    is_child = os.getppid() == pid
    while os.getppid() == pid if is_child else _alive(pid):  # noqa: ASYNC110  (no event tells)
        await asyncio.sleep(PARENT_POLL_S)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main() -> None:
    """Run the command."""
    args = build_parser().parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    gc.disable()  # to look through what is being built took a seventh of the start
    try:
        served = build_served(args)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"engine: {error}\n")
        sys.stderr.flush()
        os._exit(2)  # the ends of other ranks must not decide the status
    # What was built stays: a full collection, which holds the loop up, need not look at it.
    gc.collect()
    gc.freeze()
    gc.enable()
    heap.give_back()
    try:
        status = uvloop.run(serve(args, served))
    except (ValueError, OSError) as error:  # it cannot listen
        sys.stderr.write(f"engine: {error}\n")
        status = 2
    sys.stdout.flush()
    os._exit(status)  # a hung loop or a lost device must not keep the process


if __name__ == "__main__":
    main()
