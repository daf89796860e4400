"""Which plan to take, and what is expected of it; one device where no split is better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory
from swath.planners.objective import check_deadline, figure, predicted_seconds
from swath.planners.registry import Objective, Problem, make_planner

DEFAULT_PLANNER = "auto"

SPLITTING_PLANNER = "even"
"""Splits in any case: what one device alone is held against for who wonders."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan, the seconds of one inference that are predicted of it, and the `figure` that is to be
    small. ``given_up``: that of a split that would have been worse than the one device; None
    where several devices compute, or there is no such split."""

    plan: Plan
    objective: Objective
    predicted: float
    figure: float
    given_up: float | None = None


def choose(problem: Problem, planner: str | None = None, **options: Any) -> Choice:
    """A plan by a planner's name and options; by the default planner without a word of either.

    Raises PlanError, also where the plan needs more memory than there is or misses the deadline.
    """
    choice = _of(problem, planner or DEFAULT_PLANNER, **options)
    is_alone = len(choice.plan.devices_used) == 1 < len(problem.costs.cluster.workers)
    if planner is not None or options or not is_alone:
        return choice
    try:
        split = _of(problem, SPLITTING_PLANNER)
    except PlanError:  # Too much for some device, or too late.
        return choice
    if len(split.plan.devices_used) == 1 or split.figure <= choice.figure:
        return choice
    return replace(choice, given_up=split.figure)


def _of(problem: Problem, planner: str, **options: Any) -> Choice:
    plan = make_planner(planner, **options).plan(problem)
    programs = compile_plan(plan)
    validate_memory(plan, programs)
    predicted = predicted_seconds(plan, programs, problem.costs)
    check_deadline(problem, predicted)
    return Choice(plan, problem.objective, predicted, figure(problem, plan, programs))
