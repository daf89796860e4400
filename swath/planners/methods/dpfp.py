"""DPFP: receptive-field segmentation, fused blocks by dynamic programming.

Li, Iosifidis, Zhang: Distributed Deep Learning Inference Acceleration using Seamless Collaboration
in Edge Computing (ICC 2022) and Collaborative Edge Computing for Distributed CNN Inference
Acceleration using Receptive Field-based Segmentation (Computer Networks 214, 2022).

From the papers' abstracts: edge servers compute segments of every map with the receptive field that
they need, so that nothing is lost; layers are fused into blocks, between which servers exchange a
small fraction of what they made; dynamic programming finds the blocks; the journal version selects
the best subset of servers by a search of low complexity. Reconstructed: segments are rows in
proportion to servers' effective speeds; a block's time is that of its slowest server, its exchange
the halo that the next block lacks; any block may also run on the primary server alone, which is
where the paper has its fully connected layers, and those may also be split by features, without
which they would decide what a network with large ones takes; the subsets that are tried are the k
fastest servers, until two sizes in turn bring nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swath.errors import PlanError
from swath.graph.reductions import split_reductions
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble, reduction_splits
from swath.planners.building.fusing import best_segments
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import by_speed, must_be_whole, primary
from swath.planners.methods.whole import Whole
from swath.planners.objective import predicted_seconds
from swath.planners.registry import Problem

PATIENCE = 2
"""Sizes of subsets in turn that bring nothing before no larger one is tried."""


class Dpfp:
    """Options: ``subset`` searches the best subset of servers, as in the journal version; else all
    of them compute."""

    def __init__(self, subset: bool = False) -> None:
        if not isinstance(subset, bool):
            raise PlanError(f"subset {subset!r} is not understood; it is true or false")
        self.subset = subset

    def plan(self, problem: Problem) -> Plan:
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="dpfp")
        servers = by_speed(problem.costs)
        return _best_subset(problem, servers) if self.subset else _of(problem, servers)


def _best_subset(problem: Problem, servers: Sequence[str]) -> Plan:
    best: tuple[float, Plan] | None = None
    without_gain = 0
    for count in range(1, len(servers) + 1):
        plan = _of(problem, servers[:count])
        seconds = predicted_seconds(plan, compile_plan(plan), problem.costs)
        if best is None or seconds < best[0]:
            best, without_gain = (seconds, plan), 0
        else:
            without_gain += 1
            if without_gain == PATIENCE:
                break
    assert best is not None
    return best[1]


def _of(problem: Problem, servers: Sequence[str]) -> Plan:
    """The plan of these servers; who are neighbours in the cluster's order exchange rows."""
    costs = problem.costs
    names = tuple(device.name for device in costs.cluster.workers if device.name in servers)
    rows = Split("rows", names, tuple(costs.sustained(name) for name in names))
    reductions = reduction_splits(problem.graph, rows)
    graph = split_reductions(problem.graph, reductions)
    layouts = Layouts(graph)
    head = primary(costs) if primary(costs) in names else rows.fastest
    blocks = best_segments(graph, layouts, costs, [rows, Split.alone(head)])
    return assemble("dpfp", problem, layouts, blocks, reductions)
