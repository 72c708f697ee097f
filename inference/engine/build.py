"""Puts a real engine together: checkpoint, cache, sampler, scheduler."""

import argparse
import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PretrainedConfig

from inference.engine import cgroups
from inference.engine.attention import kernels_work
from inference.engine.block_pool import BlockPool
from inference.engine.company import arithmetic
from inference.engine.cuda import BLOCK_SIZE, set_precision, step_bytes, warm_up, with_graphs
from inference.engine.family import FAMILIES
from inference.engine.grammar import Grammars, read_vocabulary
from inference.engine.grammar_masks import GrammarMasks
from inference.engine.kv_cache import bytes_per_block
from inference.engine.lean import lean_model
from inference.engine.limits import SchedulerLimits
from inference.engine.memory import cache_room, check_weights_fit
from inference.engine.model import HuggingFaceModel, load_model, proof_blocks
from inference.engine.native.compiler import multiplies_bfloats
from inference.engine.native.decoder import NativeDecoder
from inference.engine.parallel import load_parallel
from inference.engine.runner import LaunchingRunner, ModelRunner
from inference.engine.sampler import Sampler
from inference.engine.scheduler import Scheduler
from inference.engine.server import Served
from inference.engine.support import longest_text, supported_config
from inference.engine.tokenizer import HuggingFaceCodec, load_codec

logger = logging.getLogger(__name__)

CPU_BUDGET = 768
CPU_RUNNING = 64
CUDA_BUDGET = 8192
CUDA_RUNNING = 256
MODEST_FLOPS = 20_000_000_000  # of one core, multiplying matrices in float32
# Measured: with 3.6 million parameters two threads are slower than one.
PARAMETERS_PER_THREAD = 3_000_000
DIGEST_WINDOWS = 16
DIGEST_WINDOW_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class EngineSizes:
    """What to allocate. None: chosen from the device and the model."""

    max_model_len: int | None = None
    kv_blocks: int | None = None
    kv_cache_dtype: torch.dtype | None = None
    memory_fraction: float | None = None
    memory_shares: int = 1
    block_size: int | None = None
    token_budget: int | None = None
    max_running: int | None = None
    max_waiting: int = 1024
    max_drafts: int = 32
    max_stretch: float = 2.0


def build_real(args: argparse.Namespace) -> Served:
    """Load what the command line asks for. ValueError with the reason when it cannot be served."""
    device = choose_device(args.device)
    config = supported_config(args.path)
    halvable = has_half_the_bits(config)
    dtype = choose_dtype(args, halvable, device)
    sizes = EngineSizes(
        max_model_len=args.max_model_len,
        kv_blocks=args.kv_blocks,
        kv_cache_dtype=choose_cache_dtype(args, halvable, device, dtype),
        memory_fraction=args.memory_fraction,
        # Ranks on CPUs share this machine's memory; on GPUs each has its own.
        memory_shares=args.memory_shares * (args.tensor_parallel if device.type == "cpu" else 1),
        block_size=args.block_size,
        token_budget=args.token_budget,
        max_running=args.max_running,
        max_waiting=args.max_waiting,
        max_drafts=args.max_drafts,
        max_stretch=args.max_stretch,
    )
    choose_limits(config, sizes, device)  # before anybody waits for the weights
    parts, int8 = args.tensor_parallel, args.quantize == "int8"
    check_weights_fit(args.path, device, dtype, parts=parts, int8=int8)
    model = _load(args, device, dtype)
    codec = load_codec(args.path, eos_token_ids(model))
    name = args.model or Path(args.path).name
    return assemble(name, _revision(model, args), model, codec, sizes)


def assemble(
    name: str, revision: str, model: HuggingFaceModel, codec: HuggingFaceCodec, sizes: EngineSizes
) -> Served:
    """Give a loaded model its cache and its scheduler, and let it prove itself."""
    device, on_cuda = model.device, model.device.type == "cuda"
    block_size = sizes.block_size or (BLOCK_SIZE if on_cuda else 16)
    limits = choose_limits(model.config, sizes, device, model.num_parameters)
    longest, positions = longest_text(model.config), model.config.max_position_embeddings
    if longest < positions:
        logger.info(
            "of %d tokens %d are served: longer texts are read otherwise", positions, longest
        )
    if on_cuda:
        set_precision()
    dtype = sizes.kv_cache_dtype or model.dtype
    num_blocks = sizes.kv_blocks or _fit_blocks(model, sizes, limits, block_size, dtype)
    logger.info("key-value cache: %d blocks of %d tokens, %s", num_blocks, block_size, _name(dtype))
    model.verify(block_size)
    # Proofs write to it as well, however little it is to serve with.
    cache = model.new_cache(max(num_blocks, proof_blocks(block_size)), block_size, dtype)
    cache.stay_ahead()
    form = lean_model(model, cache) or model
    if on_cuda:
        form = with_graphs(model, form, cache, limits)
        if kernels_work(cache, model.shapes):
            warm_up(form, cache, limits, Sampler(model.vocab_size, (), device))
    # A CPU does nothing beside its host, and other ranks are told of a step before it runs.
    runner = LaunchingRunner if on_cuda and model.num_ranks == 1 else ModelRunner
    sampler = Sampler(model.vocab_size, codec.eos_token_ids, device)
    if isinstance(form, NativeDecoder):
        # What is left to PyTorch is small: waking its threads would take longer, and they would be
        # in the way of ours.
        torch.set_num_threads(1)
    grammars = Grammars(read_vocabulary(codec, model.vocab_size))
    return Served(
        model=name,
        revision=revision,
        device=f"cuda:{torch.cuda.get_device_name(device)}" if on_cuda else "cpu",
        dtype=_describe_dtype(model),
        arithmetic=arithmetic(form, cache),
        vocab_size=model.vocab_size,
        codec=codec,
        scheduler=Scheduler(limits, BlockPool(num_blocks, block_size)),
        runner=runner(form, cache, sampler, GrammarMasks(grammars), device),
        grammars=grammars,
    )


def _load(args: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> HuggingFaceModel:
    if args.tensor_parallel == 1:
        model = load_model(args.path, device, dtype, int8=args.quantize == "int8")
        torch.set_num_threads(args.threads or _choose_threads(model))
        return model
    if args.quantize:
        raise ValueError("--quantize and --tensor-parallel cannot be combined yet.")
    if args.device != "auto" and device.type == "cpu" and torch.cuda.is_available():
        raise ValueError("--tensor-parallel uses the GPUs where there are any; drop --device cpu.")
    threads = args.threads or max(1, physical_cores() // args.tensor_parallel)
    return load_parallel(args.path, dtype, args.tensor_parallel, threads)


def choose_device(wanted: str) -> torch.device:
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("No CUDA device was found.")
    return torch.device(wanted, 0) if wanted == "cuda" else torch.device(wanted)


def choose_dtype(args: argparse.Namespace, halvable: bool, device: torch.device) -> torch.dtype:
    """Return what is asked for, or what suits a checkpoint and a device.

    On CPUs float32, except where the products are bfloat16's anyway, or those of bfloat16 weights
    are twice as fast.
    """
    wanted = args.dtype
    if wanted == "auto":
        rounded = device.type == "cuda" or args.quantize == "int8"
        halved = rounded or (halvable and multiplies_bfloats())
        wanted = "bfloat16" if halved else "float32"
    dtype: torch.dtype = getattr(torch, wanted)
    return dtype


def choose_cache_dtype(
    args: argparse.Namespace, halvable: bool, device: torch.device, dtype: torch.dtype
) -> torch.dtype:
    """Return what keys and values are kept in beside a model of `dtype`.

    The model's own, unless something else is asked for, or that is float32 only because this CPU
    does not multiply the checkpoint's bfloat16: then half the bits are read twice as fast.
    ValueError on GPUs, whose kernels know one dtype.
    """
    if args.kv_cache_dtype == "auto":
        halved = device.type == "cpu" and args.dtype == "auto" and halvable
        return torch.bfloat16 if halved else dtype
    wanted: torch.dtype = getattr(torch, args.kv_cache_dtype)
    if device.type != "cpu" and wanted is not dtype:
        raise ValueError(
            f"--kv-cache-dtype must be {_name(dtype)} here, as the model is: on GPUs the cache "
            "cannot have another dtype."
        )
    return wanted


def has_half_the_bits(config: PretrainedConfig) -> bool:
    """Whether a checkpoint has bfloat16 weights, and a form that takes them as they are."""
    return getattr(config, "dtype", None) is torch.bfloat16 and config.model_type in FAMILIES


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _describe_dtype(model: HuggingFaceModel) -> str:
    return _name(model.dtype) + (", int8 weights" if model.quantised else "")


def _choose_threads(model: HuggingFaceModel) -> int:
    """Return the physical cores, or fewer where handing out the work takes longer than the work."""
    return max(1, min(physical_cores(), model.num_parameters // PARAMETERS_PER_THREAD))


def physical_cores() -> int:
    """Count the cores this process may use, two hardware threads of one core counted once.

    No more than it may have the time of: where one thread is stopped, all others wait for it.
    """
    cores: set[str] = set()
    for cpu in os.sched_getaffinity(0):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(siblings.read_text() if siblings.exists() else str(cpu))
    return max(1, int(min(len(cores), cgroups.processors())))


def eos_token_ids(model: HuggingFaceModel) -> tuple[int, ...]:
    """Return the ids that end a generation by the checkpoint's own settings; -1 is none."""
    ids = model.generation_eos
    if ids is None:
        ids = getattr(model.config, "eos_token_id", None)
    if ids is None:
        return ()
    several = ids if isinstance(ids, list | tuple) else [ids]
    return tuple(token_id for token_id in several if token_id >= 0)


def choose_limits(
    config: PretrainedConfig, sizes: EngineSizes, device: torch.device, num_parameters: int = 1
) -> SchedulerLimits:
    """Return the sizes of sequences and steps; before a model is loaded, those of the smallest.

    ValueError when what is asked for fits neither the model nor the rest of it.
    """
    on_cuda = device.type == "cuda"
    longest = longest_text(config)
    max_model_len = sizes.max_model_len or longest
    if max_model_len > longest:
        raise ValueError(f"The model was made for at most {longest} tokens, not {max_model_len}.")
    max_running = sizes.max_running or (CUDA_RUNNING if on_cuda else CPU_RUNNING)
    budget = CUDA_BUDGET if on_cuda else _cpu_budget(num_parameters, max_running)
    return SchedulerLimits(
        max_model_len=max_model_len,
        token_budget=sizes.token_budget or budget,
        max_running=max_running,
        max_waiting=sizes.max_waiting,
        max_drafts=sizes.max_drafts,
        max_stretch=sizes.max_stretch,
    )


def _cpu_budget(num_parameters: int, max_running: int) -> int:
    """Return how many tokens a modest processor computes in about a second.

    A step much longer than that delays everyone's next token, and looks like a hang from outside.
    """
    per_second = torch.get_num_threads() * MODEST_FLOPS // (2 * num_parameters)
    return max(max_running, min(CPU_BUDGET, per_second))


def _fit_blocks(
    model: HuggingFaceModel,
    sizes: EngineSizes,
    limits: SchedulerLimits,
    block_size: int,
    dtype: torch.dtype,
) -> int:
    """Return how many blocks fit the memory, at most what all running sequences could fill."""
    per_block = bytes_per_block(model.shapes, block_size, dtype)
    spare = step_bytes(model, limits, block_size) if model.device.type == "cuda" else 0
    room = cache_room(model.device, sizes.memory_fraction, sizes.memory_shares) - spare
    most = limits.max_running * -(-limits.max_model_len // block_size)
    num_blocks = min(most, room // per_block - 2)  # block 0, and the spill
    least = -(-limits.max_model_len // block_size)
    if num_blocks < least:
        raise ValueError(
            f"Only {num_blocks * block_size} tokens fit into the memory for the cache, fewer than "
            f"one sequence of {limits.max_model_len}; lower --max-model-len, raise "
            "--memory-fraction, or unload another engine of this machine."
        )
    return int(num_blocks)


def _revision(model: HuggingFaceModel, args: argparse.Namespace) -> str:
    """Name the weights that are served: other numbers, another name."""
    revision: str = getattr(model.config, "_commit_hash", None) or digest(args.path)
    if args.quantize:
        revision = hashlib.sha256(f"{revision} {args.quantize}".encode()).hexdigest()
    return revision[:16]


def digest(path: str) -> str:
    """Return a short digest of a checkpoint: its configuration, and samples of its weights."""
    folder = Path(path)
    if not folder.is_dir():
        return hashlib.sha256(path.encode()).hexdigest()[:16]
    total = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix not in {".json", ".safetensors", ".bin", ".jinja", ".model"}:
            continue
        size = file.stat().st_size
        total.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as content:
            for window in range(DIGEST_WINDOWS):
                content.seek(size * window // DIGEST_WINDOWS)
                total.update(content.read(DIGEST_WINDOW_BYTES))
    return total.hexdigest()[:16]
