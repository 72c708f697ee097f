"""Which of a machine's GPUs are an engine's.

Engines that share a machine take its GPUs in turn, by their number: the free memory would say
nothing while several start at the same time. An engine sees no other GPU than its own, so that its
first is `cuda:0` for every library, thread and rank, and nothing is allocated on those of others.
"""

import logging
import os

import torch

logger = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"


def take_gpus(number: int, engines: int, parts: int) -> int:
    """Let this process see the GPUs of engine `number` (1, 2, …) alone; return how many share them.

    `engines` is how many this machine has, each on `parts` GPUs. Has to come before anything asks
    CUDA, which looks at the environment once.
    """
    visible = torch.cuda.device_count()
    groups = visible // parts
    if groups < 2:
        return engines
    mine = (number - 1) % groups
    before = os.environ.get(VISIBLE)
    names = before.split(",") if before is not None else [str(index) for index in range(visible)]
    os.environ[VISIBLE] = ",".join(names[mine * parts : (mine + 1) * parts])
    if torch.cuda.device_count() != parts:  # CUDA has been asked: NVML, which tells first, is away
        logger.warning("all engines take the first of %d GPUs: %s says which", visible, VISIBLE)
        return engines
    logger.info("of %d GPUs this engine takes %s", visible, os.environ[VISIBLE])
    return max(1, len(range(mine, engines, groups)))
