"""What stages of a pipeline take whose devices are the average of some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from statistics import fmean

from swath.ops import Region
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.survey import by_speed
from swath.planners.building.weighing import slowdown
from swath.planners.methods.pico.pieces import piece_cuts
from swath.planners.registry import Problem


@dataclass(frozen=True, slots=True)
class Run:
    """A stage that begins at cut ``start``: seconds of an average device for computing its part of
    it, and those of fetching what it needs for that."""

    start: int
    computing: float
    fetching: float

    def seconds(self, speed: float = 1.0) -> float:
        """Of devices with so many times the average speed."""
        return self.computing / speed + self.fetching


class AverageStages:
    """Stages of equal rows, weighed by the part in the middle, which needs most. A stage computes
    all that it needs of itself; links are the mean of all."""

    def __init__(self, problem: Problem, names: Sequence[str], sizes: Sequence[int]) -> None:
        """``sizes``: how many devices a stage may have."""
        graph, costs = problem.graph, problem.costs
        self.cuts = piece_cuts(graph)
        self.layouts = Layouts(graph)
        self.sizes = tuple(sizes)
        speeds = {name: costs.sustained(name) for name in names}
        mean = fmean(speeds.values())
        self.speed = {name: speed / mean for name, speed in speeds.items()}
        self._graph = graph
        self._costs = costs
        self._device = by_speed(costs)[0]
        self._scale = slowdown(costs, self._device) * costs.sustained(self._device) / mean
        everyone = dict.fromkeys([costs.cluster.source, *names])
        paths = [costs.path(one, other) for one in everyone for other in names if one != other]
        self._per_byte = fmean(1 / path.bandwidth for path in paths) if paths else 0.0
        self._latency = fmean(path.latency for path in paths) if paths else 0.0
        self._last_reader = {
            name: len(graph.nodes) if name in graph.outputs else max(readers, default=-1)
            for name, readers in ((name, graph.consumers.get(name, ())) for name in graph.producers)
        }
        everything = [
            run
            for size in self.sizes
            for run in self._ending(len(self.cuts) - 1, size, inf)
            if run.start == 0
        ]
        # A stage that takes longer than everything on a few is in no pipeline that is worth it.
        self._longest = min(run.seconds() for run in everything) * max(self.speed.values())
        self._known: dict[tuple[int, int], tuple[Run, ...]] = {}

    def ending(self, stop: int, size: int) -> tuple[Run, ...]:
        """Stages of so many devices that stop at cut ``stop``, the shortest first; none that takes
        longer than a pipeline is worth."""
        if (stop, size) not in self._known:
            self._known[stop, size] = tuple(self._ending(stop, size, self._longest))
        return self._known[stop, size]

    def _ending(self, stop: int, size: int, longest: float) -> Iterator[Run]:
        graph = self._graph
        position = end = self.cuts[stop]
        needs: dict[str, Region] = {}
        seconds = 0.0
        for start in range(stop - 1, -1, -1):
            while position > self.cuts[start]:
                position -= 1
                seconds += self._visit(position, end, size, needs)
            computing = (self._costs.overhead + seconds) * self._scale
            if computing > longest:
                return
            read = sum(needs[name].size * graph.tensors[name].itemsize for name in needs)
            # The source hands out to one after the other; on one channel everybody has to.
            at_once = 1 if start and self._costs.cluster.network != "shared" else size
            yield Run(start, computing, self._latency + at_once * read * self._per_byte)

    def _visit(self, position: int, end: int, size: int, needs: dict[str, Region]) -> float:
        """Seconds of one node for the part in the middle; ``needs``, of what lies behind the node,
        become those of what lies behind the one before it."""
        graph = self._graph
        node = graph.nodes[position]
        for name in node.outputs:
            if name and self._last_reader[name] >= end:
                region = self.layouts.of(name, _middle(size))[size // 2]
                if region is not None:
                    needs[name] = needs[name].hull(region) if name in needs else region
        asked = tuple(needs.pop(name, None) if name else None for name in node.outputs)
        if all(region is None for region in asked):
            return 0.0
        demand = graph.rules[position].demand(graph.operators[position], asked)
        for name, region in zip(node.reads, demand.inputs, strict=True):
            if region is not None and name and name not in graph.constants:
                needs[name] = needs[name].hull(region) if name in needs else region
        return self._costs.node(self._device, graph, position, demand)


@cache
def _middle(size: int) -> Split:
    """Equal parts, but what cannot be split, and any odd row, is the middle one's."""
    parts = tuple(f"part-{index}" for index in range(size))
    return Split("rows", parts, tuple(1 + 1e-6 * (i == size // 2) for i in range(size)))
