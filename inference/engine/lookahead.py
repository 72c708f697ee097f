"""One step after the other; where the device allows it, the next one while this one runs.

A GPU would stand idle while the host reads a step's tokens, decodes them, sends them and plans the
next step. But what a decoding sequence runs next is known before its token is: that token, at the
next place. So as long as every sequence decodes, the step after is planned and launched with the
tokens that are still on the device, and the host learns of them one step later.

Foreseen is only that sequences go on. One that turns out to have ended (an end token, a stop text,
a cancel, a failure) leaves a token too many, which is dropped: no delta has it, nobody counts it.
What that row stored went to a place that no other sequence had at that time, and steps run in the
order in which they were launched. Whatever is not foreseen (someone to admit or preempt, a guess to
try, a block that is missing, a distribution that depends on the tokens) waits for the tokens,
as everything does on a CPU.
"""

import logging
from dataclasses import replace

from inference.engine.isolation import run_isolated
from inference.engine.plan import DeviceLostError, Launch, Launcher, Plan, Row, Runner, StepResult
from inference.engine.request import Sequence
from inference.engine.scheduler import Scheduler

logger = logging.getLogger(__name__)


class Steps:
    """The steps of one engine."""

    def __init__(self, scheduler: Scheduler, runner: Runner) -> None:
        """Run what `scheduler` plans on `runner`, which may be a `Launcher`."""
        self._scheduler = scheduler
        self._runner = runner
        self._launcher = runner if isinstance(runner, Launcher) else None
        self._under_way: tuple[Plan, Launch] | None = None  # launched, its tokens not yet known

    def next(self) -> tuple[Plan, StepResult]:
        """Run one step. DeviceLostError passes; whatever else a row does fails that row alone."""
        plan, launch = self._take()
        if launch is None:
            return plan, run_isolated(self._runner, plan)
        ahead = self._launch_after(plan, launch)
        try:
            result = launch.result()
        except DeviceLostError:
            raise
        except Exception:
            logger.warning("step %d crashed when it was read", plan.step, exc_info=True)
            return plan, run_isolated(self._runner, plan)  # what went ahead is worth nothing
        self._under_way = None if launch.misled else ahead
        return plan, result

    def _take(self) -> tuple[Plan, Launch | None]:
        """Return the step under way, less the rows that ended since, or a new one."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            plan, launch = under_way
            alive = {sequence.key for sequence in self._scheduler.running}
            rows = tuple(row for row in plan.rows if row.key in alive)
            if rows:
                return replace(plan, rows=rows), launch
        plan = self._scheduler.schedule()
        if not plan.rows or self._launcher is None:
            return plan, None
        return plan, _try_to_launch(self._launcher, plan, None)

    def _launch_after(self, plan: Plan, launch: Launch) -> tuple[Plan, Launch] | None:
        following = foresee(self._scheduler, plan)
        if following is None or self._launcher is None:
            return None
        ahead = _try_to_launch(self._launcher, following, launch)
        return (following, ahead) if ahead is not None else None


def _try_to_launch(runner: Launcher, plan: Plan, after: Launch | None) -> Launch | None:
    """Start a step; None if it crashes: it will be run again, and the guilty row found."""
    try:
        return runner.launch(plan, after)
    except DeviceLostError:
        raise
    except Exception:
        logger.warning("step %d crashed when it was launched", plan.step, exc_info=True)
        return None


def foresee(scheduler: Scheduler, plan: Plan) -> Plan | None:
    """Return the step after a plan whose tokens are not known yet; None if it depends on them."""
    known = {row.key: row for row in plan.rows}
    going_on: list[tuple[Sequence, Row]] = []
    for sequence in scheduler.running:
        row = known.get(sequence.key)
        if row is None or row.drafts or sequence.held or sequence.params.looks_back:
            return None
        if row.samples and row.length + 1 < scheduler.longest(sequence):
            going_on.append((sequence, row))
        elif not row.samples and row.length < len(sequence.tokens):
            return None  # there is more of its prompt
    if not going_on or scheduler.has_other_plans(len(scheduler.running) - len(going_on)):
        return None
    tables = [(sequence.block_table, row.length + 1) for sequence, row in going_on]
    if not scheduler.pool.lengthen(tables):
        return None
    rows = [replace(row, start=row.length, num_tokens=1) for _, row in going_on]
    return Plan(scheduler.next_step(), tuple(rows))
