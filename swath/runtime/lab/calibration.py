"""What pauses cost emulated devices: measured by small networks, with and without a quota.

Devices that share a machine share its caches, and a processor that was idle has to be woken. A
device that was stopped by its quota, or waited for others, is slower when it goes on, which may
take a third of its time where the quota is small and the tiles are short. No profile of a device by
itself shows it. Here the same plans run with and without quotas. On one device, what they take more
with them is what being stopped costs; split over all, what is left is what waiting costs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace

from swath import zoo
from swath.cluster import Link
from swath.cluster.profile import Machine
from swath.cluster.profile_file import write_whole
from swath.cost import NO_COOLING, Cooling, ProfiledCosts
from swath.graph.graph import Graph
from swath.graph.load import load_onnx
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import Problem, make_planner
from swath.runtime.profiling.kept import kept_path
from swath.simulate import Request, make_script, simulate

PROBES = (("squeezenet", 224, 224), ("tiny_yolov2", 416, 416))
"""A light network, which feels a pause most, and one that computes more between two of them."""

ROUNDS = 3

HALF = 0.3e-3
"""Seconds of pause that cost half as much as a long one. Measured of tiles of 0.1 to 0.3 ms: 17 to
51 us more after 0.2 ms, 26 to 56 after 1 ms, 67 to 73 after 3 ms, 93 to 101 after 10 ms."""

UNIT = 100e-6
REQUESTS = 10
_UNSHAPED = 10e9

Spend = Callable[[Graph, Plan, int], tuple[float, float]]
"""(graph, plan, rounds) -> seconds of CPU per request, of all devices: without and with quotas."""


def kept_cooling(machine: Machine, costs: ProfiledCosts, spend: Spend) -> Cooling:
    """The cooling of devices with the source's quota: measured on this machine
    before, or else now, and kept beside its profile."""
    quota = costs.quota(costs.cluster.source)
    path = kept_path(machine, f"cooling-{quota.share if quota else 1:g}")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Cooling(**{field.name: float(said[field.name]) for field in fields(Cooling)})
    except (OSError, ValueError, KeyError, TypeError):  # Not there, or damaged.
        found = calibrate(costs, spend)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(found)))
    return found


def calibrate(costs: ProfiledCosts, spend: Spend) -> Cooling:
    """The cooling at which the predicted CPU time of small networks is the real one."""
    # Measured over links that are not shaped.
    quick = replace(costs.cluster, default_link=Link(_UNSHAPED, 0.0), links={})
    costs = replace(costs, cluster=quick)
    plans, stops, stopped = [], 0.0, 0.0
    for name, height, width in PROBES:
        problem = Problem(load_onnx(zoo.build(name, height, width)), costs)
        whole, split = (make_planner(planner).plan(problem) for planner in ("whole", "even"))
        free, limited = spend(problem.graph, whole, ROUNDS)
        stopped += limited - free
        stops += _predicted(whole, costs, Cooling(0.0, UNIT, HALF)) - _predicted(whole, costs)
        # How far the profile is off on this network is not what is looked for.
        bias = free / _predicted(whole, costs)
        plans.append((split, spend(problem.graph, split, ROUNDS)[1], bias))
    stop = max(0.0, stopped) * UNIT / stops if stops > 0 else 0.0
    waits = waited = 0.0
    for split, limited, bias in plans:
        known = _predicted(split, costs, Cooling(0.0, stop, HALF))
        waited += limited - bias * known
        waits += _predicted(split, costs, Cooling(UNIT, stop, HALF)) - known
    return Cooling(max(0.0, waited) * UNIT / waits if waits > 0 else 0.0, stop, HALF)


def _predicted(plan: Plan, costs: ProfiledCosts, cooling: Cooling = NO_COOLING) -> float:
    """Seconds of CPU per request, of all devices."""
    costs = replace(costs, coolings=dict.fromkeys(costs.cluster.by_name, cooling))
    script = make_script(plan, compile_plan(plan), costs)
    return sum(simulate([Request(script)] * REQUESTS, costs).busy.values()) / REQUESTS
