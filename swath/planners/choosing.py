"""Which plan to take, and what is expected of it; one device where no split is sooner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory
from swath.planners.objective import predicted_seconds
from swath.planners.registry import Problem, make_planner
from swath.planners.whole import Whole

DEFAULT_PLANNER = "even"


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan and the seconds of one inference that are predicted of it. ``given_up``: those of the
    split that would have taken longer than the one device; None where there is no such split."""

    plan: Plan
    predicted: float
    given_up: float | None = None


def choose(problem: Problem, planner: str | None = None, **options: Any) -> Choice:
    """A plan by a planner's name and options.

    Without a word of either: by the default planner, or on one device alone where that is
    predicted to be faster. Raises PlanError.
    """
    made = make_planner(planner or DEFAULT_PLANNER, **options).plan(problem)
    split = Choice(made, predicted_seconds(made, compile_plan(made), problem.costs))
    if planner is not None or options or len(made.devices_used) < 2:
        return split
    alone = Whole().plan(problem)
    programs = compile_plan(alone)
    try:
        validate_memory(alone, programs)
    except PlanError:  # One device is too small for it.
        return split
    seconds = predicted_seconds(alone, programs, problem.costs)
    return split if split.predicted <= seconds else Choice(alone, seconds, split.predicted)
