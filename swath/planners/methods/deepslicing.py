"""DeepSlicing: slices in proportion to speed, synchronised every few layers.

Zhang, Zhang, Qian, et al.: DeepSlicing: Collaborative and Adaptive CNN Inference with Low Latency
(TPDS 2021).

From the abstract: model and data are sliced; a Proportional Synchronized Scheduler shares out
slices in proportion to devices' power and trades computation against synchronisation.
Reconstructed: slices are rows; devices fetch from each other what they lack, every so many layers,
and recompute what lies between; how many is what the trade is about, and the number with the least
predicted time is taken. What has no rows any more is computed by the source (or the fastest).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from swath.graph.reductions import split_reductions
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble, reduction_splits
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import maps_end, must_be_whole, primary
from swath.planners.methods.whole import Whole
from swath.planners.objective import predicted_seconds
from swath.planners.registry import Problem

LAYERS = (1, 2, 3, 4, 6, 8, 12)
"""Layers between two synchronisations that are tried."""


class DeepSlicing:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="deepslicing")
        plans = [_every(problem, layers) for layers in LAYERS]
        return min(
            plans, key=lambda plan: predicted_seconds(plan, compile_plan(plan), problem.costs)
        )


def _every(problem: Problem, layers: int) -> Plan:
    """The plan that synchronises after every so many layers."""
    costs = problem.costs
    names = tuple(device.name for device in costs.cluster.workers)
    slices = Split("rows", names, tuple(costs.sustained(name) for name in names))
    reductions = reduction_splits(problem.graph, slices)
    graph = split_reductions(problem.graph, reductions)
    cuts = candidate_cuts(graph)
    end = maps_end(graph, cuts)
    of_maps = [cut for cut in cuts if cut <= end]
    stops = [*of_maps[::layers], *([end] if of_maps[::layers][-1] != end else [])]
    segments = [Segment(start, stop, slices) for start, stop in pairwise(stops)]
    if end < cuts[-1]:
        segments.append(Segment(end, cuts[-1], Split.alone(primary(costs))))
    return assemble("deepslicing", problem, Layouts(graph), segments, reductions)
