"""How good a plan is for what a problem asks: on virtual time."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from math import ceil, inf

from swath.cluster import Watts
from swath.cost import Costs
from swath.errors import PlanError
from swath.plan.plan import Plan
from swath.plan.program import Programs
from swath.planners.registry import Problem
from swath.simulate import Request, make_script, simulate
from swath.simulate.reliability import Reliability, reliability_of
from swath.simulate.steady import steady_interval, steady_requests
from swath.simulate.trials import TRIALS, run_trials, trial, varies

REQUESTS = 5
"""Inferences, one after the other, whose mean is what is predicted."""

_EQUAL = 1e-9
"""Relative difference of two inferences' seconds below which all are taken to be equal."""

IN_FLIGHT = 2
"""Inferences in flight for each device that a plan uses, when they follow each other closely."""


def score(problem: Problem, plan: Plan, programs: Programs) -> float:
    """The less the better: the `figure` of a plan, infinite where it misses the limit."""
    limit = problem.limit
    if limit is not None and predicted_seconds(plan, programs, problem.costs) > limit:
        return inf
    return figure(problem, plan, programs)


def figure(problem: Problem, plan: Plan, programs: Programs) -> float:
    """What the problem's objective wants small: seconds of one inference (latency) or from one
    result to the next (throughput), joules of one (energy), or the share of those that miss the
    deadline (reliability). Raises PlanError where nobody knows the devices' watts."""
    if problem.objective == "throughput":
        return predicted_interval(plan, programs, problem.costs)
    if problem.objective == "energy":
        return predicted_joules(plan, programs, problem.costs)
    if problem.objective == "reliability":
        assert problem.deadline is not None
        return (
            1 - predicted_reliability(plan, programs, problem.costs, problem.deadline).probability
        )
    return predicted_seconds(plan, programs, problem.costs)


def predicted_seconds(plan: Plan, programs: Programs, costs: Costs) -> float:
    """Mean seconds of an inference: of some run one after the other or, where links vary, of
    independent ones."""
    script = make_script(plan, programs, costs)
    if varies(costs.cluster):
        trials = (trial(script, costs, number) for number in range(REQUESTS))
        return statistics.fmean(found.latencies[0] for found in trials)
    first, second = simulate([Request(script)] * 2, costs).latencies
    if abs(first - second) <= _EQUAL * first:
        return first  # Nothing changes with time, as quotas do.
    return statistics.fmean(simulate([Request(script)] * REQUESTS, costs).latencies)


def predicted_reliability(
    plan: Plan, programs: Programs, costs: Costs, deadline: float, count: int = TRIALS
) -> Reliability:
    """How often an inference is over within ``deadline`` seconds, by so many trials."""
    found = run_trials([make_script(plan, programs, costs)], costs, count)
    return reliability_of([each.latencies[0] for each in found], deadline)


def computing_seconds(plan: Plan, programs: Programs, costs: Costs) -> float:
    """Seconds of CPU that the busiest device spends on the tiles of an inference, and on putting
    their inputs together; messages are not counted."""
    script = make_script(plan, programs, costs)
    return max(
        sum(seconds for seconds, sent in zip(part.seconds, part.sends, strict=True) if sent < 0)
        for part in script.parts
    )


def predicted_interval(plan: Plan, programs: Programs, costs: Costs) -> float:
    """Seconds from one result to the next, where several inferences are always in flight."""
    in_flight = IN_FLIGHT * max(1, len(plan.devices_used))
    script = make_script(plan, programs, costs)
    requests = [Request(script)] * steady_requests(in_flight)
    return steady_interval(simulate(requests, costs, in_flight=in_flight).ends, in_flight)


def predicted_joules(plan: Plan, programs: Programs, costs: Costs) -> float:
    """Joules of an inference, all devices of the cluster idling through it, some of them run one
    after the other. Raises PlanError where a device's watts are not known."""
    watts(costs)
    script = make_script(plan, programs, costs)
    spent = simulate([Request(script)] * REQUESTS, costs).energy
    return sum(spent.values()) / REQUESTS


def watts(costs: Costs) -> Mapping[str, Watts]:
    """Power by computing device. Raises PlanError where that of one is not known."""
    known = {}
    for device in costs.cluster.workers:
        if device.watts is None:
            raise PlanError(
                f"device {device.name!r} has no watts, so nobody knows what energy it takes; "
                "give watts: {idle: W, busy: W} in the cluster file"
            )
        known[device.name] = device.watts
    return known


def check_deadline(problem: Problem, best: float) -> None:
    """Raises PlanError where even the soonest plan, of ``best`` seconds, is too late."""
    if problem.limit is not None and best > problem.limit:
        # Rounded up, so that who then gives it as the deadline has a plan.
        reachable = ceil(best * 1e6) / 1e3
        raise PlanError(
            f"the deadline of {problem.limit * 1e3:.10g} ms is not met; "
            f"the best reachable is {reachable:.10g} ms"
        )
