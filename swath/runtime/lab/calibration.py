"""What pauses cost emulated devices: measured by small networks, with and without a quota.

Devices that share a machine share its caches, and a processor that was idle has to be woken. A
device that was stopped by its quota, or waited for others, is slower when it goes on, which may
take a third of its time where the quota is small and the tiles are short. No profile of a device by
itself shows it. Here the same networks run in the engine alone, over and over, and as requests to
devices with and without quotas. On one device, what they take more with quotas is what being
stopped costs, by the byte of maps; split over all, what they take more than the engine's time tells
is what waiting costs (for others, or for the next request).
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from swath import zoo
from swath.cluster import Link
from swath.cluster.profile import Machine
from swath.cluster.profile_file import write_whole
from swath.cost import NO_COOLING, Cooling, ProfiledCosts
from swath.graph.geometry import tile_geometry
from swath.graph.graph import Graph
from swath.graph.load import load_onnx
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners import Problem, make_planner
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

USUAL = Cooling(waited=300e-6, half=HALF, warm=WARM, refill=20e-12)
"""Near enough to see what each cost does to a prediction; from there it is taken to be linear."""

REQUESTS = 20
_UNSHAPED = 10e9

Setting = Literal["engine", "free", "rationed"]
"""The unsplit model in the engine without pause, requests to devices without quotas, with them."""

Take = Callable[[Graph, Plan, Sequence[Setting]], list[float]]
"""(graph, plan, settings) -> for each in turn the seconds that one inference takes."""

Priced = Callable[[Cooling | None], ProfiledCosts]
"""Costs of the devices if pauses cost so much; None: without quotas, where they cost nothing."""

Measured = tuple[Plan, float]
"""A plan and the seconds that a request takes by it."""


def kept_cooling(
    machine: Machine, shares: Sequence[float], packets: int, priced: Priced, take: Take
) -> Cooling:
    """The cooling of devices with quotas of so many cores: measured on this machine before, or
    else now, and kept beside its profile. ``packets``: how many the kernel hands on as one on the
    lab's links; the fewer, the more it costs whoever waits for a message."""
    key = "cooling-" + "-".join(f"{share:g}" for share in sorted(shares))
    refill = _kept(kept_path(machine, key), "refill", lambda: refill_of(priced, take))
    known = Cooling(waited=0.0, half=HALF, warm=WARM, refill=refill)
    path = kept_path(machine, f"{key}-{packets}-packets")
    waited = _kept(path, "waited", lambda: waited_of(known, priced, take))
    return replace(known, waited=waited)


def refill_of(priced: Priced, take: Take) -> float:
    """The cost by the byte at which the predicted latency of small networks on one device is the
    real one."""
    settings: list[Setting] = ["free", "rationed"]
    measured = []
    for probe in ALONE:
        problem, alone = _planned(probe, "whole", priced)
        # In turn, for the machine itself is not as fast at any time.
        found = take(problem.graph, alone, settings * ROUNDS)
        free, rationed = statistics.median(found[::2]), statistics.median(found[1::2])
        # How far the profile is off on a network is not what is looked for.
        off = free / _predicted(alone, priced(None))
        measured.append((alone, rationed / off))
    return _fitted("refill", Cooling(waited=0.0, half=HALF, warm=WARM), measured, priced)


def waited_of(known: Cooling, priced: Priced, take: Take) -> float:
    """The cost of waiting at which the predicted latency of small networks, split over all devices,
    is the real one. ``known``: what else pauses cost."""
    settings: list[Setting] = ["engine", "rationed"]
    measured = []
    for probe in SPLIT:
        problem, split = _planned(probe, "even", priced)
        found = take(problem.graph, split, settings * ROUNDS)
        engine, rationed = statistics.median(found[::2]), statistics.median(found[1::2])
        measured.append((split, rationed / (engine / _computing(problem))))
    return _fitted("waited", known, measured, priced)


def _planned(probe: str, planner: str, priced: Priced) -> tuple[Problem, Plan]:
    graph = load_onnx(zoo.build(probe, 224, 224))
    problem = Problem(graph, _unshaped(priced(NO_COOLING)))
    return problem, make_planner(planner).plan(problem)


def _computing(problem: Problem) -> float:
    """Predicted seconds of the unsplit model in the engine."""
    graph = problem.graph
    outputs = {name: graph.tensors[name].whole for name in graph.outputs}
    geometry = tile_geometry(graph, range(len(graph.nodes)), outputs)
    return problem.costs.tile(problem.costs.cluster.workers[0].name, graph, geometry)


def _kept(path: Path, name: str, measure: Callable[[], float]) -> float:
    """A number from a file, where it is measured and written down if it is not there."""
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))[name])
    except (OSError, ValueError, KeyError, TypeError):  # Not there, or damaged.
        found = measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({name: found}))
    return found


def _fitted(name: str, known: Cooling, measured: Sequence[Measured], priced: Priced) -> float:
    """The cost of this name, not negative, with which predictions are the nearest to what was
    measured: in the sum of relative errors, so that one network that the machine disturbed does
    not decide."""
    expected = np.array([seconds for _, seconds in measured])

    def predicted(cooling: Cooling) -> np.ndarray:
        found = [_predicted(plan, priced(cooling)) for plan, _ in measured]
        return np.asarray(found / expected)

    before = predicted(known)
    usual: float = getattr(USUAL, name)
    effect = predicted(replace(known, **{name: usual})) - before
    feel = effect > 0
    if not feel.any():
        return 0.0
    # It is the weighted median of what each of them says.
    wanted = (1.0 - before[feel]) / effect[feel]
    order = np.argsort(wanted)
    weights = np.cumsum(effect[feel][order])
    middle = order[np.searchsorted(weights, weights[-1] / 2)]
    return max(0.0, usual * float(wanted[middle]))


def _predicted(plan: Plan, costs: ProfiledCosts) -> float:
    """Seconds that a request takes, one after the other."""
    costs = _unshaped(costs)
    script = make_script(plan, compile_plan(plan), costs)
    return statistics.fmean(simulate([Request(script)] * REQUESTS, costs).latencies)


def _unshaped(costs: ProfiledCosts) -> ProfiledCosts:
    """Costs with the links as they are while this is measured: not shaped."""
    quick = replace(costs.cluster, default_link=Link(_UNSHAPED, 0.0), links={})
    return replace(costs, cluster=quick)
