"""What pauses cost emulated devices: measured by small networks, with and without a quota.

Devices that share a machine share its caches, and a processor that was idle has to be woken. A
device that was stopped by its quota, or waited for others, is slower when it goes on, which may
take a third of its time where the quota is small and the tiles are short. No profile of a device by
itself shows it. Here the same plan runs with and without quotas; the CPU time that it takes more is
what the pauses cost.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace

from swath import zoo
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

Spend = Callable[[Graph, Plan, int], tuple[float, float]]
"""(graph, plan, rounds) -> seconds of CPU per request, of all devices: without and with quotas."""


def kept_cooling(machine: Machine, costs: ProfiledCosts, spend: Spend) -> Cooling:
    """The cooling of devices with the source's quota: measured on this machine
    before, or else now, and kept beside its profile."""
    quota = costs.quota(costs.cluster.source)
    path = kept_path(machine, f"cooling-{quota.share if quota else 1:g}")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Cooling(float(said["most"]), float(said["half"]))
    except (OSError, ValueError, KeyError, TypeError):  # Not there, or damaged.
        found = calibrate(costs, spend)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(found)))
    return found


def calibrate(costs: ProfiledCosts, spend: Spend) -> Cooling:
    """The cooling at which quotas cost what they cost small networks, on one device and on all."""
    excess = paused = 0.0
    for name, height, width in PROBES:
        graph = load_onnx(zoo.build(name, height, width))
        for planner in ("whole", "even"):
            plan = make_planner(planner).plan(Problem(graph, costs))
            free, limited = spend(graph, plan, ROUNDS)
            excess += limited - free
            paused += _pauses(plan, costs) - _pauses(plan, replace(costs, quotas={}))
    return Cooling(max(0.0, excess) * UNIT / paused if paused > 0 else 0.0, HALF)


def _pauses(plan: Plan, costs: ProfiledCosts) -> float:
    """Seconds of CPU per request, of all devices, that pauses cost where each costs `UNIT`."""
    script = make_script(plan, compile_plan(plan), costs)
    busy = []
    for cooling in (Cooling(UNIT, HALF), NO_COOLING):
        cooled = replace(costs, coolings=dict.fromkeys(costs.cluster.by_name, cooling))
        busy.append(sum(simulate([Request(script)] * REQUESTS, cooled).busy.values()))
    return (busy[0] - busy[1]) / REQUESTS
