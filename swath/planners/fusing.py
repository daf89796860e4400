"""Where to cut a graph into stages, and along what to split each: dynamic programming over cuts.

The recurrence is the one of fused-layer dynamic programming (DPFP's receptive-field segmentation,
EdgeCI's DPFL), here over any DAG whose nodes stand in a topological order: a cut lies between two
neighbours of that order, also where several tensors cross it. One walk back from a stage's end
gives the costs of all its possible beginnings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from swath.cost import Costs
from swath.graph.graph import Graph
from swath.ops import Region
from swath.planners.layouts import Layouts, Mode

LONGEST_STAGE = 16
"""Cuts that a stage may reach over; a longer one recomputes more than it saves."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes ``start <= position < stop`` as one stage, split by ``mode``."""

    start: int
    stop: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class _Walk:
    """The state of one device's walk back from a stage's end when it has reached a cut."""

    seconds: float
    needs: dict[str, Region]


def candidate_cuts(graph: Graph) -> tuple[int, ...]:
    """Positions before which a stage may begin, the first and the one behind the last included.

    Not before operators that read just the entries that they write (an activation behind its
    convolution): cutting there costs and gains nothing. Not where a value crosses that cannot
    travel because its shape is not known.
    """
    blocked = [False] * (len(graph.nodes) + 1)
    for name, producer in graph.producers.items():
        readers = graph.consumers.get(name, ())
        if graph.tensors[name].shape is None and readers:
            for position in range(producer + 1, readers[-1] + 1):
                blocked[position] = True
    inner = [
        position
        for position in range(1, len(graph.nodes))
        if not blocked[position] and not _is_entrywise(graph, position)
    ]
    return (0, *inner, len(graph.nodes))


def _is_entrywise(graph: Graph, position: int) -> bool:
    op, rule = graph.operators[position], graph.rules[position]
    output = op.outputs[0]
    if output is None or output.shape is None or not any(output.shape):
        return False
    corner = Region((extent - 1, extent) for extent in output.shape)
    asked = (corner, *(None for _ in op.outputs[1:]))
    demand = rule.demand(op, asked)
    if demand.outputs[0] != corner:
        return False
    followed = [
        region
        for name, region in zip(graph.nodes[position].reads, demand.inputs, strict=True)
        if name in graph.producers and region is not None
    ]
    return corner in followed and all(region.size == 1 for region in followed)


def best_segments(
    graph: Graph, layouts: Layouts, costs: Costs, modes: Sequence[Mode]
) -> tuple[Segment, ...]:
    """The cheapest sequence of stages: computing of the slowest device plus the exchange before.

    A tensor from an earlier stage is taken to be laid out as the stage just before it is; the
    compiler finds the true transfers, this only weighs.
    """
    cuts = candidate_cuts(graph)
    search = _Search(graph, layouts, costs)
    best: list[dict[Mode, _Choice]] = [{mode: _Choice(0.0, 0, mode) for mode in modes[:1]}]
    for end in range(1, len(cuts)):
        best.append({mode: search.best_stage(cuts, end, mode, best) for mode in modes})
    end = len(cuts) - 1
    mode = min(best[end], key=lambda mode: best[end][mode].seconds)
    segments: list[Segment] = []
    while end > 0:
        choice = best[end][mode]
        segments.append(Segment(cuts[choice.start], cuts[end], mode))
        end, mode = choice.start, choice.before
    return tuple(reversed(segments))


@dataclass(frozen=True, slots=True)
class _Choice:
    """The best way to a cut: total seconds, where its last stage starts, the mode before that."""

    seconds: float
    start: int
    before: Mode


class _Search:
    def __init__(self, graph: Graph, layouts: Layouts, costs: Costs) -> None:
        self.graph = graph
        self.layouts = layouts
        self.costs = costs
        self.devices = layouts.shares.devices
        self.last_reader = {
            name: len(graph.nodes) if name in graph.outputs else max(readers, default=-1)
            for name, readers in ((name, graph.consumers.get(name, ())) for name in graph.producers)
        }
        self._missing = lru_cache(maxsize=None)(self._missing_bytes)

    def best_stage(
        self, cuts: Sequence[int], end: int, mode: Mode, best: Sequence[Mapping[Mode, _Choice]]
    ) -> _Choice:
        """The best last stage before cut ``end``, given the best ways to all earlier cuts."""
        found: _Choice | None = None
        for start, walks in self.walk_back(cuts, end, mode):
            compute = max(walk.seconds for walk in walks)
            # Going further back only adds computing: past the best total there is nothing to find.
            if found is not None and compute > found.seconds:
                break
            for before, choice in best[start].items():
                total = choice.seconds + compute + self.exchange(walks, before)
                if found is None or total < found.seconds:
                    found = _Choice(total, start, before)
        assert found is not None
        return found

    def walk_back(
        self, cuts: Sequence[int], end: int, mode: Mode
    ) -> Iterator[tuple[int, tuple[_Walk, ...]]]:
        """(cut, one walk per device) for every beginning of a stage that stops at cut ``end``."""
        stop = cuts[end]
        wanted: list[dict[str, Region]] = [{} for _ in self.devices]
        seconds = [0.0] * len(self.devices)
        position = stop
        for start in range(end - 1, max(-1, end - 1 - LONGEST_STAGE), -1):
            while position > cuts[start]:
                position -= 1
                self._visit(position, stop, mode, wanted, seconds)
            yield (
                start,
                tuple(
                    _Walk(self.costs.overhead + spent if spent else 0.0, needs)
                    for spent, needs in zip(seconds, wanted, strict=True)
                ),
            )

    def _visit(
        self,
        position: int,
        stop: int,
        mode: Mode,
        wanted: list[dict[str, Region]],
        seconds: list[float],
    ) -> None:
        graph = self.graph
        node, op, rule = graph.nodes[position], graph.operators[position], graph.rules[position]
        for name in node.outputs:
            if name and self.last_reader[name] >= stop:
                for needs, region in zip(wanted, self.layouts.of(name, mode), strict=True):
                    if region is not None:
                        needs[name] = needs[name].hull(region) if name in needs else region
        for index, needs in enumerate(wanted):
            asked = tuple(needs.pop(name, None) if name else None for name in node.outputs)
            if all(region is None for region in asked):
                continue
            demand = rule.demand(op, asked)
            seconds[index] += self.costs.operator(
                self.devices[index], op, rule.flops(op, demand.outputs), demand
            )
            for name, region in zip(node.reads, demand.inputs, strict=True):
                if region is None or not name or name in graph.constants:
                    continue
                needs[name] = needs[name].hull(region) if name in needs else region

    def exchange(self, walks: Sequence[_Walk], before: Mode) -> float:
        """Seconds until every device has what it needs, when all fetch at the same time.

        The model's inputs are not counted: every plan has to hand them out.
        """
        return max(self._fetch(index, walk.needs, before) for index, walk in enumerate(walks))

    def _fetch(self, index: int, needs: dict[str, Region], before: Mode) -> float:
        missing = sum(
            self._missing(index, name, region, before)
            for name, region in needs.items()
            if name in self.graph.producers
        )
        return self.costs.fetch(self.devices[index], missing)

    def _missing_bytes(self, index: int, name: str, region: Region, before: Mode) -> int:
        held = self.layouts.of(name, before)[index]
        missing = region.size if held is None else sum(part.size for part in region.subtract(held))
        return missing * self.graph.tensors[name].itemsize
