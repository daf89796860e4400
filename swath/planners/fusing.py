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
from swath.graph.geometry import TileGeometry
from swath.graph.graph import Graph
from swath.ops import Demand, Region
from swath.planners.layouts import Layouts, Mode

LONGEST_STAGE = 16
"""Cuts that a stage may reach over; a longer one recomputes more than it saves."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes ``start <= position < stop`` as one stage, split by ``mode``."""

    start: int
    stop: int
    mode: Mode


@dataclass(slots=True)
class _Walk:
    """One device's walk back from a stage's end: what it computes so far, the sum of its nodes'
    seconds, and what it needs from outside."""

    demands: dict[int, Demand]
    seconds: float
    needs: dict[str, Region]

    @property
    def geometry(self) -> TileGeometry:
        return TileGeometry(dict(reversed(self.demands.items())), self.needs)


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
        self._fetched = lru_cache(maxsize=None)(self._fetched_bytes)
        self._sending = [costs.sending(device) for device in self.devices]
        self._receiving = [costs.receiving(device) for device in self.devices]
        self._paths = [[costs.path(sender, to) for sender in self.devices] for to in self.devices]

    def best_stage(
        self, cuts: Sequence[int], end: int, mode: Mode, best: Sequence[Mapping[Mode, _Choice]]
    ) -> _Choice:
        """The best last stage before cut ``end``, given the best ways to all earlier cuts."""
        found: _Choice | None = None
        for start, walks in self.walk_back(cuts, end, mode):
            compute = self.compute(walks)
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
        """(cut, one walk per device) for every beginning of a stage that stops at cut ``end``.

        The walks go on from one cut to the next.
        """
        stop = cuts[end]
        walks = tuple(_Walk({}, 0.0, {}) for _ in self.devices)
        position = stop
        for start in range(end - 1, max(-1, end - 1 - LONGEST_STAGE), -1):
            while position > cuts[start]:
                position -= 1
                self._visit(position, stop, mode, walks)
            yield start, walks

    def _visit(self, position: int, stop: int, mode: Mode, walks: Sequence[_Walk]) -> None:
        graph = self.graph
        node, op, rule = graph.nodes[position], graph.operators[position], graph.rules[position]
        for name in node.outputs:
            if name and self.last_reader[name] >= stop:
                for walk, region in zip(walks, self.layouts.of(name, mode), strict=True):
                    if region is not None:
                        known = walk.needs.get(name)
                        walk.needs[name] = region if known is None else known.hull(region)
        for device, walk in zip(self.devices, walks, strict=True):
            needs = walk.needs
            asked = tuple(needs.pop(name, None) if name else None for name in node.outputs)
            if all(region is None for region in asked):
                continue
            demand = rule.demand(op, asked)
            walk.demands[position] = demand
            walk.seconds += self.costs.node(device, graph, position, demand)
            for name, region in zip(node.reads, demand.inputs, strict=True):
                if region is None or not name or name in graph.constants:
                    continue
                needs[name] = needs[name].hull(region) if name in needs else region

    def compute(self, walks: Sequence[_Walk]) -> float:
        """Seconds of the stage on its slowest device.

        The sum over nodes tells who that is; what the engine does at the stage's edges and between
        nodes is looked at for that one alone.
        """
        slowest = max(range(len(walks)), key=lambda index: walks[index].seconds)
        walk = walks[slowest]
        if not walk.demands:
            return 0.0
        return self.costs.tile(self.devices[slowest], self.graph, walk.geometry)

    def exchange(self, walks: Sequence[_Walk], before: Mode) -> float:
        """Seconds until every device has what it needs, when all fetch at the same time: the CPU
        time of the messages at both ends (one from each who has something), and the network's.

        The model's inputs are not counted: every plan has to hand them out.
        """
        spent = [0.0] * len(walks)
        travelling = [0.0] * len(walks)
        for index, walk in enumerate(walks):
            latency = 0.0
            for sender, nbytes in self._fetch(index, walk.needs, before).items():
                spent[index] += self._receiving[index].seconds(nbytes)
                spent[sender] += self._sending[sender].seconds(nbytes)
                path = self._paths[index][sender]
                travelling[index] += nbytes / path.bandwidth
                latency = max(latency, path.latency)
            travelling[index] += latency
        if self.costs.cluster.network == "shared":
            return max(spent) + sum(travelling)
        return max(map(sum, zip(spent, travelling, strict=True)))

    def _fetch(self, index: int, needs: Mapping[str, Region], before: Mode) -> dict[int, int]:
        """Bytes that a device takes from each other."""
        fetched: dict[int, int] = {}
        for name, region in needs.items():
            if name in self.graph.producers:
                for sender, nbytes in self._fetched(index, name, region, before):
                    fetched[sender] = fetched.get(sender, 0) + nbytes
        return fetched

    def _fetched_bytes(
        self, index: int, name: str, region: Region, before: Mode
    ) -> tuple[tuple[int, int], ...]:
        """(who has it, bytes) of what a device lacks of a region."""
        layout = self.layouts.of(name, before)
        held = layout[index]
        missing = (region,) if held is None else tuple(region.subtract(held))
        if not missing:
            return ()
        itemsize = self.graph.tensors[name].itemsize
        found = []
        for sender, has in enumerate(layout):
            if has is not None and sender != index:
                common = (part.intersect(has) for part in missing)
                nbytes = itemsize * sum(part.size for part in common if part is not None)
                if nbytes:
                    found.append((sender, nbytes))
        return tuple(found)
