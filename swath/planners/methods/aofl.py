"""AOFL: the best runs of layers to fuse into tiles of a grid, and into how many.

Zhou, Samavatian, Bacha, Majumdar, Teodorescu: Adaptive Parallel Execution of Deep Neural Networks
on Heterogeneous Edge Devices (SEC 2019).

From the paper, as its successors tell it: layers are fused into sets, each cut into tiles of a 2-D
grid that devices compute with their whole receptive fields; between two sets the tiles go through a
gateway; which layers are fused and how many devices compute is decided from the state of devices
and network, by a search over the points where sets may end. Reconstructed: the cells of a grid are
equal, one for each of the k fastest devices, the grid as square as can be; a set takes as long as
handing out, the slowest cell and gathering, the gateway sending and receiving one message after
the other; dynamic programming over fuse points finds the sets; a set may also run on the gateway
alone, where the fully connected layers do; no set reaches over more than `LONGEST_STAGE` cuts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from swath.ops import Region
from swath.plan.plan import Plan
from swath.planners.building.assembling import assemble
from swath.planners.building.fitting import fitting
from swath.planners.building.fusing import Segment, StageSearch, candidate_cuts
from swath.planners.building.gathering import Port, aggregator, degrees, merged, strongest
from swath.planners.building.layouts import Layouts, Split, grid_shape
from swath.planners.building.survey import extent_before, maps_end, must_be_whole
from swath.planners.building.weighing import slowdown
from swath.planners.methods.whole import Whole
from swath.planners.registry import Problem


class Aofl:
    """No options."""

    def plan(self, problem: Problem) -> Plan:
        if must_be_whole(problem.graph, problem.costs):
            return replace(Whole().plan(problem), planner="aofl")
        layouts = Layouts(problem.graph)

        def among(names: Sequence[str]) -> Plan:
            gateway = aggregator(problem, names)
            sets = _fused_sets(problem, layouts, names, gateway)
            return assemble("aofl", problem, layouts, merged(sets))

        return fitting(problem, among)


@dataclass(frozen=True, slots=True)
class _Way:
    """The soonest way to have on the gateway what is made before a fuse point: ``seconds`` in
    total, from which fuse point its last set ``start``s, how that is cut."""

    seconds: float
    start: int
    split: Split


def _fused_sets(
    problem: Problem, layouts: Layouts, names: Sequence[str], gateway: str
) -> list[Segment]:
    graph = layouts.graph
    cuts = candidate_cuts(graph)
    end = maps_end(graph, cuts)
    points = [cut for cut in cuts if cut <= end]
    weighing = _Weighing(problem, layouts, points, gateway)
    best = [_Way(0.0, 0, Split.alone(gateway))]
    for stop in range(1, len(points)):
        splits = _splits(problem, layouts, names, points[stop], gateway)
        ways = (way for split in splits for way in weighing.ways(stop, split, best))
        best.append(min(ways, key=lambda way: way.seconds))
    sets = []
    stop = len(points) - 1
    while stop > 0:
        way = best[stop]
        leader = None if way.split == Split.alone(gateway) else gateway
        sets.append(Segment(points[way.start], points[stop], way.split, leader))
        stop = way.start
    sets.reverse()
    if end < cuts[-1]:
        sets.append(Segment(end, cuts[-1], Split.alone(gateway)))
    return sets


def _splits(
    problem: Problem, layouts: Layouts, names: Sequence[str], cut: int, gateway: str
) -> Iterator[Split]:
    """The gateway alone, and equal cells of the map before a cut for the fastest devices."""
    yield Split.alone(gateway)
    rows, columns = (extent_before(layouts.graph, cut, axis) for axis in (2, 3))
    ranked = strongest(problem, names)
    for degree in (1, *degrees(len(ranked))):
        down, across = grid_shape(degree)
        if down <= rows and across <= columns and ranked[:degree] != (gateway,):
            yield Split("grid", ranked[:degree], (1.0,) * degree)


class _Weighing:
    """Seconds of fused sets."""

    def __init__(
        self, problem: Problem, layouts: Layouts, points: Sequence[int], gateway: str
    ) -> None:
        self.costs = problem.costs
        self.layouts = layouts
        self.points = points
        self.gateway = gateway
        self.search = StageSearch(layouts.graph, layouts, problem.costs)
        self.port = Port(problem.costs)

    def ways(self, stop: int, split: Split, best: Sequence[_Way]) -> Iterator[_Way]:
        """Of every last set before fuse point ``stop`` that is cut so, given the best ways to all
        earlier points."""
        made = self._made(self.points[stop], split)
        for start, walks in self.search.walk_back(self.points, stop, split):
            holder = self.gateway if start else self.costs.cluster.source
            read, slowest = [], 0.0
            for device, walk in zip(split.devices, walks, strict=True):
                read.append((device, self._nbytes(walk.needs)))
                own = self.costs.overhead + walk.seconds
                slowest = max(slowest, own * slowdown(self.costs, device))
            gathered = [
                (device, sum(n for producer, n in of_device if producer >= self.points[start]))
                for device, of_device in zip(split.devices, made, strict=True)
            ]
            seconds = (
                self.port.handing_out(holder, read)
                + slowest
                + self.port.gathering(self.gateway, gathered)
            )
            yield _Way(best[start].seconds + seconds, start, split)

    def _made(self, stop: int, split: Split) -> list[list[tuple[int, int]]]:
        """By device: (who produces it, bytes of its share) of what is made before a cut and read
        behind it."""
        graph = self.layouts.graph
        made: list[list[tuple[int, int]]] = [[] for _ in split.devices]
        for name, producer in graph.producers.items():
            if producer < stop <= self.search.last_reader[name]:
                for own, region in zip(made, self.layouts.of(name, split), strict=True):
                    if region is not None:
                        own.append((producer, region.size * graph.tensors[name].itemsize))
        return made

    def _nbytes(self, needs: Mapping[str, Region]) -> int:
        tensors = self.layouts.graph.tensors
        return sum(region.size * tensors[name].itemsize for name, region in needs.items())
