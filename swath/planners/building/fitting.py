"""Devices whose memory a plan would overrun are left out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import Plan
from swath.plan.validate import validate_memory
from swath.planners.registry import Problem


def fitting(problem: Problem, plan_among: Callable[[Sequence[str]], Plan]) -> Plan:
    """The plan among all computing devices, or among those that are left when the tightest are
    taken out one after the other until the rest have enough memory.

    ``plan_among``: the plan of some devices, by their names. Raises PlanError where even one that
    is left alone has too little.
    """
    return fitting_of([device.name for device in problem.costs.cluster.workers], plan_among)


def fitting_of(devices: Sequence[str], plan_among: Callable[[Sequence[str]], Plan]) -> Plan:
    """The same among some devices to begin with."""
    names = list(devices)
    while True:
        plan = plan_among(names)
        programs = compile_plan(plan)
        peaks = peak_memory(programs)
        overrun = {
            device.name: peaks.get(device.name, 0) / max(device.memory, 1)
            for device in plan.devices
            if device.memory is not None and peaks.get(device.name, 0) > device.memory
        }
        if not overrun:
            return plan
        if len(names) == 1:
            validate_memory(plan, programs)
        names.remove(max(overrun, key=lambda name: overrun[name]))
