"""A scheduler driven by hand, on integers: no model, no loop."""

from inference.engine.block_pool import BlockPool
from inference.engine.detokenizer import Detokenizer
from inference.engine.limits import SchedulerLimits
from inference.engine.params import SamplingParams
from inference.engine.plan import Plan
from inference.engine.request import FinishReason, Sequence
from inference.engine.scheduler import Scheduler


def make(num_blocks: int = 64, block_size: int = 4, **limits: int) -> Scheduler:
    sizes = {"max_model_len": 64, "token_budget": 16, "max_running": 4, "max_waiting": 100}
    return Scheduler(SchedulerLimits(**{**sizes, **limits}), BlockPool(num_blocks, block_size))


def check(scheduler: Scheduler) -> None:
    """The pool is whole and every held block is accounted for."""
    scheduler.pool.check()
    held = {block for sequence in scheduler.running for block in sequence.block_table}
    assert len(held) == scheduler.pool.num_used
    scheduler._waiting.check()


class Desk:
    """Submits to a scheduler and answers its plans with the token 7."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.by_key: dict[int, Sequence] = {}

    def submit(self, tokens: list[int], tenant: str = "alice", **options: int) -> Sequence:
        params = SamplingParams(
            max_tokens=options.get("max_tokens", 3), prompt_logprobs=options.get("prompt_logprobs")
        )
        sequence = Sequence(
            key=len(self.by_key) + 1,
            tenant=tenant,
            tokens=list(tokens),
            params=params,
            detokenizer=Detokenizer(),
            priority=options.get("priority", 0),
        )
        self.by_key[sequence.key] = sequence
        self.scheduler.submit(sequence)
        return sequence

    def step(self) -> Plan:
        plan = self.scheduler.schedule()
        check(self.scheduler)
        assert plan.num_tokens <= self.scheduler.limits.token_budget
        for row in plan.rows:
            sequence = self.by_key[row.key]
            assert row.start == sequence.num_computed
            assert row.start + row.num_tokens <= len(row.block_table) * 4
            self.scheduler.advance(sequence, row.num_tokens)
            if row.samples:
                self.scheduler.append(sequence, 7)
                if sequence.num_generated == sequence.params.max_tokens:
                    self.scheduler.end(sequence, FinishReason.LENGTH)
        check(self.scheduler)
        return plan

    def run(self) -> list[Plan]:
        plans = []
        while not self.scheduler.idle:
            plans.append(self.step())
            assert plans[-1].rows, "a step without work"
            assert len(plans) < 5000, "no end"
        assert self.scheduler.pool.num_used == 0
        return plans

    def order(self) -> list[int]:
        """Run to the end; return the keys in the order of their first token."""
        firsts: dict[int, None] = {}
        for plan in self.run():
            firsts.update(dict.fromkeys(row.key for row in plan.rows))
        return list(firsts)
