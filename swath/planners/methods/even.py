"""Shares by device speed: the planner to start with.

Every device computes its share of every stage: rows (or columns, a grid, channels) of the maps,
output features of the FC layers. Layers are fused while recomputing the halo costs less than
exchanging it.
"""

from __future__ import annotations

from collections.abc import Sequence

from swath.errors import PlanError
from swath.graph.reductions import split_reductions
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble, reduction_splits
from swath.planners.building.borders import borders_first
from swath.planners.building.fusing import best_segments
from swath.planners.building.layouts import MODES, Layouts, Mode, Split
from swath.planners.building.survey import must_be_whole
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem


class Even:
    """Options: ``split`` restricts the spatial operators to one way of splitting."""

    def __init__(self, split: str | None = None) -> None:
        if split is not None and split not in MODES:
            raise PlanError(f"split {split!r} is not known; use one of {', '.join(MODES)}")
        self.split: Mode | None = split

    def plan(self, problem: Problem) -> Plan:
        costs, cluster = problem.costs, problem.costs.cluster
        names = tuple(device.name for device in cluster.workers)
        if must_be_whole(problem.graph, costs):
            return Whole().plan(problem)
        weights = tuple(costs.sustained(name) for name in names)
        modes: Sequence[Mode] = (self.split,) if self.split else ("rows", "channels")
        splits = [Split(mode, names, weights) for mode in modes]
        reductions = reduction_splits(problem.graph, splits[0])
        graph = split_reductions(problem.graph, reductions)
        layouts = Layouts(graph)
        segments = best_segments(graph, layouts, costs, splits)
        plan = assemble("even", problem, layouts, segments, reductions)
        return borders_first(plan, graph, costs)
