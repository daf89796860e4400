"""What pauses cost emulated devices: measured by small networks.

Devices that share a machine share its caches. A device that was stopped by its quota, or waited for
others, finds them cold when it goes on, which may take a third of its time where the quota is small
and the tiles are short. No profile of a device by itself shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from swath import zoo
from swath.cost import NO_COOLING, Cooling, ProfiledCosts
from swath.graph.graph import Graph
from swath.graph.load import load_onnx
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import Problem, make_planner
from swath.simulate import Request, make_script, simulate

PROBES = (("squeezenet", 224, 224), ("resnet18", 160, 160))

HALF = 0.3e-3
"""Seconds of pause that cost half as much as a long one. Measured of tiles of 0.1 to 0.3 ms: 17 to
51 us more after 0.2 ms, 26 to 56 after 1 ms, 67 to 73 after 3 ms, 93 to 101 after 10 ms."""

UNIT = 100e-6
REQUESTS = 10

Spend = Callable[[Graph, Plan, bool], float]
"""(graph, plan, whether rates and quotas are in force) -> seconds of CPU per request, of all."""


def calibrate(costs: ProfiledCosts, spend: Spend) -> Cooling:
    """The cooling at which the predicted CPU time of small networks, split over all devices, is the
    real one."""
    excess = paused = 0.0
    for name, height, width in PROBES:
        graph = load_onnx(zoo.build(name, height, width))
        whole, split = (
            make_planner(planner).plan(Problem(graph, costs)) for planner in ("whole", "even")
        )
        # How far the profile is off on this network is not what is looked for.
        bias = spend(graph, whole, False) / _predicted(whole, costs, NO_COOLING)
        plain = _predicted(split, costs, NO_COOLING)
        excess += spend(graph, split, True) - bias * plain
        paused += _predicted(split, costs, Cooling(UNIT, HALF)) - plain
    return Cooling(max(0.0, excess) * UNIT / paused if paused > 0 else 0.0, HALF)


def _predicted(plan: Plan, costs: ProfiledCosts, cooling: Cooling) -> float:
    """Seconds of CPU per request, of all devices."""
    cooling_everywhere = dict.fromkeys(costs.cluster.by_name, cooling)
    costs = replace(costs, coolings=cooling_everywhere)
    script = make_script(plan, compile_plan(plan), costs)
    return sum(simulate([Request(script)] * REQUESTS, costs).busy.values()) / REQUESTS
