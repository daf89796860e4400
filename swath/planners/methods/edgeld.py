"""EdgeLD: balanced columns between pools, through a leader.

Xue, Fang, Xu, Wu: EdgeLD: Locally Distributed Deep Learning Inference on Edge Device Clusters (HPCC
2020), and EdgeDI by the same group (TOIT 2023), which balances by transfers too.

From the technical report and EdgeDI's code: a group leader and its followers; only convolutions are
distributed, pooling and fully connected layers run on the leader; the convolutions between two
pools are fused; maps are cut into columns, at first in proportion to speed, then one column is
moved from who is predicted slowest to who is fastest (OCBP) while that helps. Reconstructed: what
counts as a follower's time includes its transfers, as in EdgeDI; a cluster of one follower computes
there alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from swath.graph.graph import Graph
from swath.ops import split_by_shares
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble
from swath.planners.building.balancing import rebalanced
from swath.planners.building.fusing import Segment, candidate_cuts
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import extent_before, must_be_whole, primary
from swath.planners.building.weighing import parts_of, through_leader
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem

_POOLS = frozenset(["MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"])


class Edgeld:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        graph, costs = problem.graph, problem.costs
        if must_be_whole(graph, costs):
            return replace(Whole().plan(problem), planner="edgeld")
        leader = primary(costs)
        followers = tuple(d.name for d in costs.cluster.workers if d.name != leader)
        layouts = Layouts(graph)
        segments = []
        for start, stop, is_shared in _blocks(graph):
            split = Split.alone(leader)
            if is_shared:
                split = _balanced(problem, layouts, start, stop, followers, leader)
            segments.append(Segment(start, stop, split))
        return assemble("edgeld", problem, layouts, segments, leader=leader)


def _blocks(graph: Graph) -> Iterator[tuple[int, int, bool]]:
    """(start, stop, whether followers share it): the convolutions between two pools, and what is
    between such blocks."""
    runs: list[tuple[int, int, bool]] = []
    for start, stop in pairwise(candidate_cuts(graph)):
        kinds = {graph.nodes[position].type for position in range(start, stop)}
        is_shared = "Conv" in kinds and not kinds & _POOLS
        if runs and runs[-1][2] == is_shared:
            runs[-1] = (runs[-1][0], stop, is_shared)
        else:
            runs.append((start, stop, is_shared))
    yield from runs


def _balanced(
    problem: Problem,
    layouts: Layouts,
    start: int,
    stop: int,
    followers: tuple[str, ...],
    leader: str,
) -> Split:
    """OCBP: columns of a block by follower."""
    costs, graph = problem.costs, layouts.graph
    width = extent_before(graph, stop, 3)

    def split(counts: tuple[int, ...]) -> Split:
        return Split("cols", followers, tuple(map(float, counts)))

    def seconds(counts: tuple[int, ...]) -> list[float]:
        segment = Segment(start, stop, split(counts))
        parts = parts_of(layouts, costs, segment)
        return through_leader(parts, segment.split, costs, leader)

    speeds = [costs.sustained(name) for name in followers]
    first = tuple(hi - lo for lo, hi in split_by_shares(width, speeds))
    return split(rebalanced(first, seconds))
