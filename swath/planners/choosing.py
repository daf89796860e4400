"""Which plan to take, and what is expected of it; one device where no split is better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory
from swath.planners.objective import check_deadline, figure, predicted_seconds
from swath.planners.registry import Objective, Problem, check_objective, make_planner

DEFAULT_PLANNER = "even"


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan, the seconds of one inference that are predicted of it, and the `figure` that is to be
    small. ``given_up``: that of the split that would have been worse than the one device; None
    where there is no such split."""

    plan: Plan
    objective: Objective
    predicted: float
    figure: float
    given_up: float | None = None


def choose(problem: Problem, planner: str | None = None, **options: Any) -> Choice:
    """A plan by a planner's name and options.

    Without a word of either: by the default planner, or on one device alone where that is
    predicted to be better. Raises PlanError, also where the plan needs more memory than there is
    or misses the deadline.
    """
    if planner is not None or options:
        return _of(problem, planner or DEFAULT_PLANNER, **options)
    check_objective(DEFAULT_PLANNER, problem.objective)
    split, alone = (_attempt(problem, name) for name in (DEFAULT_PLANNER, "whole"))
    if isinstance(split, PlanError):
        if isinstance(alone, PlanError):
            raise split
        return alone
    if isinstance(alone, PlanError) or split.figure <= alone.figure:
        return split
    return replace(alone, given_up=split.figure if len(split.plan.devices_used) > 1 else None)


def _attempt(problem: Problem, planner: str) -> Choice | PlanError:
    try:
        return _of(problem, planner)
    except PlanError as error:
        return error


def _of(problem: Problem, planner: str, **options: Any) -> Choice:
    plan = make_planner(planner, **options).plan(problem)
    programs = compile_plan(plan)
    validate_memory(plan, programs)
    predicted = predicted_seconds(plan, programs, problem.costs)
    check_deadline(problem, predicted)
    return Choice(plan, problem.objective, predicted, figure(problem, plan, programs))
