"""CoEdge: one vector of row shares for all convolutions, by linear programming.

Zeng, Chen, Zhou, Yang, Zhang: CoEdge: Cooperative DNN Inference with Adaptive Workload Partitioning
over Heterogeneous Edge Devices (IEEE/ACM Transactions on Networking 29(2), 2021; arXiv 2012.03257).

From the paper (and those that compare with it): every map is cut into rows in the same proportions;
before each layer neighbours send each other the rows that its windows reach over; the proportions
minimise energy under a deadline, by a linear program after relaxation; a part must be as tall as
those windows reach, so that what a device lacks comes from one neighbour on each side.
Reconstructed: a layer takes a device its share of the whole layer's time, and besides that a fixed
time for the borders; a layer is over when the slowest is done; the energy is that of computing and
of everybody's idling meanwhile; the simulator tells whether the deadline is met, and the program's
own is moved accordingly; who is given nothing, or less than a neighbour reaches over, is left out
(the least share first), and the program is solved again. For objective ``latency`` the same program
minimises time. What has no rows is computed by the primary (the source, or the fastest), fully
connected layers among it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf

from swath.graph.reductions import split_reductions
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble, reduction_splits
from swath.planners.building.fitting import fitting
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import maps_end, must_be_whole
from swath.planners.methods.coedge.row_shares import (
    Layer,
    Shares,
    has_rows,
    head_of,
    layers_of,
    row_shares,
)
from swath.planners.methods.whole import Whole
from swath.planners.objective import check_deadline, predicted_seconds, watts
from swath.planners.registry import Problem

LIMITS = 6
"""How many limits are tried where the plan of least energy misses the deadline."""


class CoEdge:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="coedge")
        if problem.objective == "energy":
            watts(problem.costs)  # Refused before anything takes time.
        layers = layers_of(problem)
        return fitting(problem, lambda names: _among(problem, layers, names))


def _among(problem: Problem, layers: Sequence[Layer], names: Sequence[str]) -> Plan:
    """The plan of some devices."""
    shares = row_shares(problem, layers, names)
    assert shares is not None  # There is always one that takes some time.
    soonest = _plan(problem, names, shares)
    if problem.deadline is not None:
        check_deadline(problem, _predicted(problem, soonest))
    if problem.objective == "latency":
        return soonest
    return _frugal(problem, layers, names, soonest, shares.seconds)


def _frugal(
    problem: Problem, layers: Sequence[Layer], names: Sequence[str], soonest: Plan, tightest: float
) -> Plan:
    """The plan that needs least energy, in time. ``tightest``: seconds of the soonest one by the
    program's clock, which is not the simulator's: the limit that the deadline is there is found by
    bisection."""
    frugal = row_shares(problem, layers, names, inf)
    assert frugal is not None  # Without a limit there always is one.
    plan = _plan(problem, names, frugal)
    if problem.deadline is None or _predicted(problem, plan) <= problem.deadline:
        return plan
    best, loosest = soonest, frugal.seconds
    for _ in range(LIMITS):
        limit = (tightest + loosest) / 2
        shares = row_shares(problem, layers, names, limit)
        plan = soonest if shares is None else _plan(problem, names, shares)
        if _predicted(problem, plan) <= problem.deadline:
            best, tightest = plan, limit
        else:
            loosest = limit
    return best


def _predicted(problem: Problem, plan: Plan) -> float:
    return predicted_seconds(plan, compile_plan(plan), problem.costs)


def _plan(problem: Problem, names: Sequence[str], shares: Shares) -> Plan:
    """Every layer by the same shares of its rows, the rest on the head."""
    rows = Split("rows", tuple(shares.of), tuple(shares.of.values()))
    head = Split.alone(head_of(problem.costs, names))
    reductions = reduction_splits(problem.graph, rows)
    graph = split_reductions(problem.graph, reductions)
    layouts = Layouts(graph)
    cuts = candidate_cuts(graph)
    end = maps_end(graph, cuts)
    segments: list[Segment] = []
    for start, stop in pairwise(cuts):
        split = rows if stop <= end and has_rows(layouts, range(start, stop)) else head
        if segments and segments[-1].split == split and len(split.devices) == 1:
            segments[-1] = replace(segments[-1], stop=stop)  # One device need not stop between.
        else:
            segments.append(Segment(start, stop, split))
    return assemble("coedge", problem, layouts, segments, reductions)
