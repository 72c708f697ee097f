"""Finding the request that crashes a step, so that its batch-mates go on.

A step that raises is run again in halves until the guilty rows stand alone. This is sound because
running a row twice writes the same keys and values to the same slots and samples the same token.
"""

import logging
from dataclasses import replace

from inference.engine.plan import DeviceLostError, Plan, Runner, StepResult

logger = logging.getLogger(__name__)


def run_isolated(runner: Runner, plan: Plan) -> StepResult:
    """Run a plan; rows that crash even alone are reported as failed. DeviceLostError passes."""
    if not plan.rows:
        return StepResult()
    try:
        return runner.run(plan)
    except DeviceLostError:
        raise
    except Exception:
        if len(plan.rows) == 1:
            logger.exception("sequence %d crashed step %d", plan.rows[0].key, plan.step)
            sentence = "The engine could not compute this request."
            return StepResult(failures={plan.rows[0].key: sentence})
        logger.warning("step %d with %d rows crashed; bisecting", plan.step, len(plan.rows))
    middle = len(plan.rows) // 2
    result = run_isolated(runner, replace(plan, rows=plan.rows[:middle]))
    result.merge(run_isolated(runner, replace(plan, rows=plan.rows[middle:])))
    return result
