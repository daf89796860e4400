"""The analytic split of convolutions by Hu et al., for a given allocation of computing.

Hu, Xu, Bilal, Zhong, Liu, Kou, Kong: parallel inference that couples convolution split with
resource allocation (JPDC 192, 2024).

From the abstract: for a given allocation of computing resources the split of each convolution is
decided by mathematical analysis; reinforcement learning then finds the allocation. Only the first
half is here. Reconstructed: layers are split by rows; a node's time for so many rows is its
computing, at the share of its speed that it is allocated, and moving them from and to the task's
owner; all nodes are to be done at the same time, which is a closed form (`equal_finish`); nodes for
which that leaves less than a row are left out; fully connected layers run on the owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from swath.errors import PlanError
from swath.graph.reductions import split_reductions
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble, reduction_splits
from swath.planners.building.balancing import equal_finish
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import extent_before, maps_end, must_be_whole, primary
from swath.planners.building.weighing import parts_of, slowdown
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem


class HuSplit:
    """Options: ``allocation``: the share of each computing device, in the cluster's order, that
    this task gets (all of every one by default)."""

    def __init__(self, allocation: Sequence[float] | None = None) -> None:
        self.allocation = allocation

    def plan(self, problem: Problem) -> Plan:
        costs = problem.costs
        if must_be_whole(problem.graph, costs):
            return replace(Whole().plan(problem), planner="hu-split")
        shares = self._shares(problem)
        owner = primary(costs)
        equal = Split("rows", tuple(shares), (1.0,) * len(shares))
        reductions = reduction_splits(problem.graph, equal)
        graph = split_reductions(problem.graph, reductions)
        layouts = Layouts(graph)
        cuts = candidate_cuts(graph)
        end = maps_end(graph, cuts)
        segments = [
            Segment(start, stop, _split(problem, layouts, start, stop, shares, owner))
            for start, stop in pairwise(cut for cut in cuts if cut <= end)
        ]
        if end < cuts[-1]:
            segments.append(Segment(end, cuts[-1], Split.alone(owner)))
        return assemble("hu-split", problem, layouts, segments, reductions, owner)

    def _shares(self, problem: Problem) -> dict[str, float]:
        """Allocated share by device, of those that have any."""
        names = [device.name for device in problem.costs.cluster.workers]
        given = self.allocation if self.allocation is not None else [1.0] * len(names)
        if (
            not isinstance(given, Sequence)
            or len(given) != len(names)
            or not all(isinstance(share, int | float) and 0 <= share <= 1 for share in given)
            or not any(given)
        ):
            raise PlanError(
                f"allocation {given!r} is not understood; give {len(names)} numbers from 0 to 1, "
                f"for {', '.join(names)}, not all of them 0"
            )
        return {name: float(share) for name, share in zip(names, given, strict=True) if share}


def _split(
    problem: Problem,
    layouts: Layouts,
    start: int,
    stop: int,
    shares: dict[str, float],
    owner: str,
) -> Split:
    """One layer, its rows so that all are done at the same time."""
    costs, graph = problem.costs, layouts.graph
    names = tuple(shares)
    rows = extent_before(graph, stop, 2)
    if rows < 2:
        return Split.alone(owner)
    per_row, fixed = [], []
    for name in names:
        (whole,) = parts_of(layouts, costs, Segment(start, stop, Split.alone(name)))
        read, made = (costs.path(owner, name), costs.path(name, owner))
        moving = 0.0
        latency = 0.0
        if name != owner:
            moving = whole.read / read.bandwidth + whole.made / made.bandwidth
            latency = read.latency + made.latency
        overhead = costs.overhead * slowdown(costs, name)
        per_row.append(((whole.seconds - overhead) / shares[name] + moving) / rows)
        fixed.append(overhead / shares[name] + latency)
    counts = equal_finish(rows, per_row, fixed)
    return Split("rows", names, tuple(map(float, counts)))
