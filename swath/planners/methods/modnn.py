"""MoDNN: every layer in strips, through a leader.

Mao, Chen, Nixon, Krieger, Chen: MoDNN: Local Distributed Mobile Computing System for Deep Neural
Network (DATE 2017).

From the paper (as its successors tell it): each layer's map is cut into strips in proportion to the
workers' speeds (BODP); the group owner collects what they made of each layer, merges it and hands
it out again. Reconstructed: strips are rows; layers that only transform entries belong to the layer
before; of a fully connected layer every worker computes its share of the features. MoDNN's
clustering of sparse weights (MSCC, FGCP) approximates nothing here and moves no less of a dense
layer, so it is left out.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from swath.graph.reductions import split_reductions
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble, reduction_splits
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import must_be_whole, primary
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem


class Modnn:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        costs = problem.costs
        if must_be_whole(problem.graph, costs):
            return replace(Whole().plan(problem), planner="modnn")
        names = tuple(device.name for device in costs.cluster.workers)
        strips = Split("rows", names, tuple(costs.sustained(name) for name in names))
        reductions = reduction_splits(problem.graph, strips)
        graph = split_reductions(problem.graph, reductions)
        layers = [Segment(start, stop, strips) for start, stop in pairwise(candidate_cuts(graph))]
        leader = primary(costs)
        return assemble("modnn", problem, Layouts(graph), layers, reductions, leader)
