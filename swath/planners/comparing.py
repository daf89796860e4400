"""All planners side by side on one problem."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory, validate_plan
from swath.planners.objective import (
    check_deadline,
    computing_seconds,
    figure,
    predicted_seconds,
)
from swath.planners.registry import Problem, make_planner
from swath.simulate import redundant_flops_share

BUDGET = 30.0
"""Seconds that each planner has unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A planner's plan and what is expected of it. Seconds (``predicted``: of one inference,
    ``planning``: of finding the plan); the `figure` that is to be small; bytes (``peaks``: memory
    by device); ``redundant``: FLOPs beyond the unsplit model's, as a share of those;
    ``computing``: the share of an inference's time for which its busiest device computes."""

    plan: Plan
    planning: float
    predicted: float
    figure: float
    bytes_moved: int
    redundant: float
    computing: float
    peaks: dict[str, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a planner has no plan for a problem."""

    reason: str


def compare(
    problem: Problem, planners: Sequence[str], budget: float = BUDGET
) -> Iterator[tuple[str, Outcome | Refusal]]:
    """What each planner makes of a problem within so many seconds, one after the other.

    Raises PlanError for a planner that is not known. Only in a process's main thread can a planner
    be interrupted; elsewhere it has all the time that it takes.
    """
    made = [(name, make_planner(name)) for name in planners]
    for name, planner in made:
        start = time.perf_counter()
        try:
            with _limited(budget):
                plan = planner.plan(problem)
            planning = time.perf_counter() - start
            validate_plan(plan, problem.graph)
            programs = compile_plan(plan)
            validate_memory(plan, programs)
            predicted = predicted_seconds(plan, programs, problem.costs)
            check_deadline(problem, predicted)
            objective_figure = figure(problem, plan, programs)
        except PlanError as error:
            yield name, Refusal(str(error))
            continue
        except _OutOfTime:
            yield name, Refusal(f"not done within {budget:g} s; give it more with --budget")
            continue
        yield (
            name,
            Outcome(
                plan,
                planning,
                predicted,
                objective_figure,
                programs.bytes_moved,
                redundant_flops_share(plan, programs),
                computing_seconds(plan, programs, problem.costs) / predicted,
                dict(peak_memory(programs)),
            ),
        )


class _OutOfTime(BaseException):
    """Raised in a planner whose time is over; no error, so that a planner that goes on where others
    fail does not take it for one of theirs."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raises _OutOfTime inside when so many seconds have passed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
