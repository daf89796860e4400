"""How good a plan is for what a problem asks: on virtual time."""

from __future__ import annotations

import statistics
from math import inf

from swath.cost import Costs
from swath.errors import PlanError
from swath.plan.plan import Plan
from swath.plan.program import Programs
from swath.planners.registry import Problem
from swath.simulate import Request, make_script, simulate

REQUESTS = 5
"""Inferences, one after the other, whose mean is what is predicted."""

IN_FLIGHT = 2
"""Inferences in flight for each device that a plan uses, when they follow each other closely."""


def score(problem: Problem, plan: Plan, programs: Programs) -> float:
    """The less the better: seconds or joules of one inference by the problem's objective. Infinite
    where its deadline is missed. Raises PlanError where nobody knows the devices' watts."""
    costs, deadline = problem.costs, problem.deadline
    if deadline is not None and predicted_seconds(plan, programs, costs) > deadline:
        return inf
    if problem.objective == "throughput":
        return predicted_interval(plan, programs, costs)
    if problem.objective == "energy":
        return predicted_joules(plan, programs, costs)
    return predicted_seconds(plan, programs, costs)


def predicted_seconds(plan: Plan, programs: Programs, costs: Costs) -> float:
    """Mean seconds of an inference, some of them run one after the other."""
    script = make_script(plan, programs, costs)
    return statistics.fmean(simulate([Request(script)] * REQUESTS, costs).latencies)


def predicted_interval(plan: Plan, programs: Programs, costs: Costs) -> float:
    """Seconds from one result to the next, where several inferences are always in flight."""
    in_flight = IN_FLIGHT * max(1, len(plan.devices_used))
    script = make_script(plan, programs, costs)
    ends = simulate([Request(script)] * (3 * in_flight), costs, in_flight=in_flight).ends
    # The first ones begin with idle devices, the last ones leave them idle.
    return (ends[-in_flight] - ends[in_flight]) / (len(ends) - 2 * in_flight)


def predicted_joules(plan: Plan, programs: Programs, costs: Costs) -> float:
    """Joules of an inference, all devices of the cluster idling through it, some of them run one
    after the other. Raises PlanError where a device's watts are not known."""
    for device in costs.cluster.workers:
        if device.watts is None:
            raise PlanError(
                f"device {device.name!r} has no watts, so nobody knows what energy it takes; "
                "give watts: {idle: W, busy: W} in the cluster file"
            )
    script = make_script(plan, programs, costs)
    spent = simulate([Request(script)] * REQUESTS, costs).energy
    return sum(spent.values()) / REQUESTS


def check_deadline(problem: Problem, best: float) -> None:
    """Raises PlanError where even the soonest plan, of ``best`` seconds, is too late."""
    if problem.deadline is not None and best > problem.deadline:
        raise PlanError(
            f"no plan meets the deadline of {problem.deadline * 1e3:g} ms; "
            f"the best reachable is {best * 1e3:.4g} ms"
        )
