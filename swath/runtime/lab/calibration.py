"""What pauses cost emulated devices: measured by small networks, with and without a quota.

Devices that share a machine share its caches, and a processor that was idle has to be woken. A
device that was stopped by its quota, waited for others or begins with a request is slower when it
goes on, which may take a third of its time where the quota is small and the tiles are short. No
profile of a device by itself shows it. Here the same networks run in the engine alone, over and
over, and as requests to devices with and without quotas. On one device, what they take more without
quotas than the engine alone is what beginning costs; what they take more with quotas is what being
stopped costs, by the byte of maps; split over all, what is left is what waiting costs. That last
one is measured over the lab's own links at their rates: where the kernel hands on packets one by
one, what is sent as fast as the machine can takes a quarter more CPU of a small device, which is no
cost of waiting.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import hypot, sqrt
from pathlib import Path
from typing import Literal

import numpy as np

from swath import zoo
from swath.cluster import Link
from swath.cluster.profile import Machine
from swath.cluster.profile_file import write_whole
from swath.cost import Cooling, ProfiledCosts
from swath.graph.geometry import tile_geometry
from swath.graph.graph import Graph
from swath.graph.load import load_onnx
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import Problem, make_planner
from swath.planners.building.assembling import assemble
from swath.planners.building.fusing import Segment
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import primary
from swath.runtime.profiling.kept import kept_path
from swath.simulate import Request, make_script, simulate

SPLIT = ("squeezenet", "mobilenet_v1", "resnet18")
ALONE = (*SPLIT, "mobilenet_v3_large", "efficientnet_b0")
"""Light networks of several kinds, which feel a pause most, and one that computes more between two
of them. Those that gate their channels wait for more, and shorter, messages than others when they
are split; only what stops cost them is asked."""

ROUNDS = 3

HALF = 0.3e-3
"""Seconds of pause that cost half as much as a long one. Measured of tiles of 0.1 to 0.3 ms: 17 to
51 us more after 0.2 ms, 26 to 56 after 1 ms, 67 to 73 after 3 ms, 93 to 101 after 10 ms."""

WARM = 2e-3
"""Seconds of work that have a device's caches warm again: its first tile after a pause loses the
most, and less where it is short."""

NOTHING = Cooling(waited=0.0, half=HALF, warm=WARM)
USUAL = Cooling(waited=300e-6, half=HALF, warm=WARM, refill=20e-12, fresh=1e-3)
"""As measured where little else disturbs. Near enough, too, to see what each cost does to a
prediction; from there it is taken to be linear."""

MISFIT = 0.03
"""By how much a prediction may be off besides, as a share: what no cost of pauses mends."""

UNUSUAL = 2.0
"""By how much a cost may differ from the usual one, as a multiple of that."""

REQUESTS = 20
_UNSHAPED = 10e9

Setting = Literal["engine", "free", "rationed", "in force"]
"""The unsplit model in the engine without pause; requests to devices without quotas, with them, and
with the links' rates, too."""

Take = Callable[[Graph, Plan, Sequence[Setting]], list[float]]
"""(graph, plan, settings) -> for each in turn the seconds that one inference takes at the pace that
the machine had when it was profiled."""

Priced = Callable[[Cooling, bool], ProfiledCosts]
"""(what pauses cost, whether there are quotas) -> costs of the devices."""


@dataclass(frozen=True)
class Measured:
    """A plan, and the seconds that a request took by it: one number for each round."""

    plan: Plan
    seconds: np.ndarray

    @property
    def typical(self) -> float:
        return float(np.median(self.seconds))

    @property
    def unrest(self) -> float:
        """Standard deviation from round to round, as a share."""
        return float(np.std(self.seconds, ddof=1) / np.mean(self.seconds))


def kept_cooling(
    machine: Machine, shares: Sequence[float], packets: int, priced: Priced, take: Take
) -> Cooling:
    """The cooling of devices with quotas of so many cores: measured on this machine before, or
    else now, and kept beside its profile. ``packets``: how many the kernel hands on as one on the
    lab's links; the fewer, the more it costs whoever waits for a message."""
    key = "cooling-" + "-".join(f"{share:g}" for share in sorted(shares))
    path = kept_path(machine, key)
    known = _kept(path, NOTHING, ("fresh", "refill"), lambda: alone(priced, take))
    if len(shares) == 1:
        return known  # There is nobody to wait for.
    path = kept_path(machine, f"{key}-waited-{packets}-packets")
    return _kept(path, known, ("waited",), lambda: together(known, priced, take))


def alone(priced: Priced, take: Take) -> Cooling:
    """The costs of beginning and of being stopped at which the predicted latency of small networks
    on one device is the real one, without quotas and with them."""
    settings: list[Setting] = ["engine", "free", "rationed"]
    begun, stopped = [], []
    for probe in ALONE:
        graph = load_onnx(zoo.build(probe, 224, 224))
        problem = _problem(graph, priced)
        plan = _at_source(problem)
        engine, free, rationed = _in_turn(take, graph, plan, settings)
        # How far the profile is off on a network is not what is looked for.
        off = _computing(problem) / engine
        begun.append(Measured(plan, free * off))
        stopped.append(Measured(plan, rationed * off))
    fresh = _fitted("fresh", NOTHING, begun, priced, rationed=False)
    return _fitted("refill", fresh, stopped, priced)


def together(known: Cooling, priced: Priced, take: Take) -> Cooling:
    """The cost of waiting at which the predicted latency of small networks, split over all devices,
    is the real one. ``known``: what else pauses cost."""
    settings: list[Setting] = ["engine", "in force"]
    measured = []
    for probe in SPLIT:
        graph = load_onnx(zoo.build(probe, 224, 224))
        problem = _problem(graph, priced)
        split = make_planner("even").plan(problem)
        engine, in_force = _in_turn(take, graph, split, settings)
        measured.append(Measured(split, in_force / engine * _computing(problem)))
    return _fitted("waited", known, measured, priced)


def _in_turn(
    take: Take, graph: Graph, plan: Plan, settings: Sequence[Setting]
) -> tuple[np.ndarray, ...]:
    """By setting, the seconds of every round: in turn, for the machine itself is not as fast at any
    time."""
    found = np.array(take(graph, plan, [*settings] * ROUNDS))
    return tuple(found[turn :: len(settings)] for turn in range(len(settings)))


def _problem(graph: Graph, priced: Priced) -> Problem:
    """Of devices whose links are as fast as can be: all of them have something to do."""
    costs = priced(NOTHING, True)
    quick = replace(costs.cluster, default_link=Link(_UNSHAPED, 0.0), links={})
    return Problem(graph, replace(costs, cluster=quick))


def _at_source(problem: Problem) -> Plan:
    """All of it where the coordinator is."""
    split = Split.alone(primary(problem.costs))
    segment = Segment(0, len(problem.graph.nodes), split)
    return assemble("whole", problem, Layouts(problem.graph), [segment])


def _computing(problem: Problem) -> float:
    """Predicted seconds of the unsplit model in the engine."""
    graph = problem.graph
    outputs = {name: graph.tensors[name].whole for name in graph.outputs}
    geometry = tile_geometry(graph, range(len(graph.nodes)), outputs)
    return problem.costs.tile(problem.costs.cluster.workers[0].name, graph, geometry)


def _kept(
    path: Path, known: Cooling, names: Sequence[str], measure: Callable[[], Cooling]
) -> Cooling:
    """What is known and costs of these names besides: from a file, or measured and written down if
    they are not there."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return replace(known, **{name: float(found[name]) for name in names})
    except (OSError, ValueError, KeyError, TypeError):  # Not there, or damaged.
        measured = measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({name: getattr(measured, name) for name in names}))
    return measured


def _fitted(
    name: str, known: Cooling, measured: Sequence[Measured], priced: Priced, rationed: bool = True
) -> Cooling:
    """What is known and the cost of this name, not negative, with which predictions are the nearest
    to what was measured, and the cost itself to what is usual: relative errors in units of what
    they may be by chance, those beyond it counted less (one network that the machine disturbed does
    not decide). So the less the machine's unrest lets one see, the more the usual counts."""
    from scipy.optimize import least_squares  # Half a second, for those alone who calibrate.

    expected = np.array([each.typical for each in measured])
    chance = hypot(MISFIT, sqrt(np.mean([each.unrest**2 for each in measured]) / ROUNDS))

    def predicted(cooling: Cooling) -> np.ndarray:
        costs = priced(cooling, rationed)
        found = np.array([_predicted(each.plan, costs) for each in measured])
        return np.asarray(found / expected)

    before = predicted(known)
    usual: float = getattr(USUAL, name)
    effect = predicted(replace(known, **{name: usual})) - before

    def off(times: np.ndarray) -> np.ndarray:
        return np.append((before + effect * times - 1.0) / chance, (times - 1.0) / UNUSUAL)

    (times,) = least_squares(off, [1.0], bounds=(0.0, np.inf), loss="soft_l1").x
    return replace(known, **{name: usual * round(float(times), 3)})


def _predicted(plan: Plan, costs: ProfiledCosts) -> float:
    """Seconds that a request takes, one after the other."""
    script = make_script(plan, compile_plan(plan), costs)
    return statistics.fmean(simulate([Request(script)] * REQUESTS, costs).latencies)
