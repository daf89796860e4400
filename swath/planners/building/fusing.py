"""Where to cut a graph into stages, and how to split each: dynamic programming over cuts.

The recurrence is the one of fused-layer dynamic programming (DPFP's receptive-field segmentation,
EdgeCI's DPFL), here over any DAG whose nodes stand in a topological order: a cut lies between two
neighbours of that order, also where several tensors cross it. One walk back from a stage's end
gives the costs of all its possible beginnings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from swath.cost import Costs
from swath.graph.geometry import TileGeometry
from swath.graph.graph import Graph
from swath.ops import Demand, Region
from swath.planners.building.layouts import Layouts, Split

LONGEST_STAGE = 16
"""Cuts that a stage may reach over; a longer one recomputes more than it saves."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes ``start <= position < stop`` as one stage. ``leader``: as a `Stage`'s."""

    start: int
    stop: int
    split: Split
    leader: str | None = None


@dataclass(slots=True)
class Walk:
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
    return graph.recall(_cuts)


def _cuts(graph: Graph) -> tuple[int, ...]:
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
    # A window at one corner may hold nothing but padding besides that one entry.
    for corner in (
        Region((0, 1) for _ in output.shape),
        Region((extent - 1, extent) for extent in output.shape),
    ):
        demand = rule.demand(op, (corner, *(None for _ in op.outputs[1:])))
        followed = [
            region
            for name, region in zip(graph.nodes[position].reads, demand.inputs, strict=True)
            if name in graph.producers and region is not None
        ]
        is_one = corner in followed and all(region.size == 1 for region in followed)
        if demand.outputs[0] != corner or not is_one:
            return False
    return True


def best_segments(
    graph: Graph,
    layouts: Layouts,
    costs: Costs,
    splits: Sequence[Split],
) -> tuple[Segment, ...]:
    """The cheapest sequence of stages: computing of the slowest device plus the exchange before.

    A tensor from an earlier stage is taken to be laid out as the stage just before it is; the
    compiler finds the true transfers, this only weighs.
    """
    cuts = candidate_cuts(graph)
    search = StageSearch(graph, layouts, costs)
    best: list[dict[Split, _Choice]] = [{split: _Choice(0.0, 0, split) for split in splits[:1]}]
    for end in range(1, len(cuts)):
        best.append({split: search.best_stage(cuts, end, split, best) for split in splits})
    end = len(cuts) - 1
    split = min(best[end], key=lambda split: best[end][split].seconds)
    segments: list[Segment] = []
    while end > 0:
        choice = best[end][split]
        segments.append(Segment(cuts[choice.start], cuts[end], split))
        end, split = choice.start, choice.before
    return tuple(reversed(segments))


@dataclass(frozen=True, slots=True)
class _Choice:
    """The best way to a cut: total seconds, where its last stage starts, the split before that."""

    seconds: float
    start: int
    before: Split


class StageSearch:
    """What stages take that begin and end at any cut; remembers what does not change."""

    def __init__(self, graph: Graph, layouts: Layouts, costs: Costs) -> None:
        self.graph = graph
        self.layouts = layouts
        self.costs = costs
        self.last_reader = {
            name: len(graph.nodes) if name in graph.outputs else max(readers, default=-1)
            for name, readers in ((name, graph.consumers.get(name, ())) for name in graph.producers)
        }
        self._fetched = lru_cache(maxsize=None)(self._fetched_bytes)
        names = [device.name for device in costs.cluster.workers]
        self._sending = {name: costs.sending(name) for name in names}
        self._receiving = {name: costs.receiving(name) for name in names}
        self._path = lru_cache(maxsize=None)(costs.path)

    def best_stage(
        self, cuts: Sequence[int], end: int, split: Split, best: Sequence[Mapping[Split, _Choice]]
    ) -> _Choice:
        """The best last stage before cut ``end``, given the best ways to all earlier cuts."""
        found: _Choice | None = None
        for start, walks in self.walk_back(cuts, end, split):
            compute = self.compute(split, walks)
            # Going further back only adds computing: past the best total there is nothing to find.
            if found is not None and compute > found.seconds:
                break
            for before, choice in best[start].items():
                total = choice.seconds + compute + self.exchange(split, walks, before)
                if found is None or total < found.seconds:
                    found = _Choice(total, start, before)
        assert found is not None
        return found

    def walk_back(
        self, cuts: Sequence[int], end: int, split: Split
    ) -> Iterator[tuple[int, tuple[Walk, ...]]]:
        """(cut, one walk per device of the split) for every beginning of a stage that stops at cut
        ``end``.

        The walks go on from one cut to the next.
        """
        stop = cuts[end]
        walks = tuple(Walk({}, 0.0, {}) for _ in split.devices)
        position = stop
        for start in range(end - 1, max(-1, end - 1 - LONGEST_STAGE), -1):
            while position > cuts[start]:
                position -= 1
                self._visit(position, stop, split, walks)
            yield start, walks

    def _visit(self, position: int, stop: int, split: Split, walks: Sequence[Walk]) -> None:
        graph = self.graph
        node, op, rule = graph.nodes[position], graph.operators[position], graph.rules[position]
        for name in node.outputs:
            if name and self.last_reader[name] >= stop:
                for walk, region in zip(walks, self.layouts.of(name, split), strict=True):
                    if region is not None:
                        known = walk.needs.get(name)
                        walk.needs[name] = region if known is None else known.hull(region)
        for device, walk in zip(split.devices, walks, strict=True):
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

    def compute(self, split: Split, walks: Sequence[Walk]) -> float:
        """Seconds of the stage on its slowest device.

        The sum over nodes tells who that is; what the engine does at the stage's edges and between
        nodes is looked at for that one alone.
        """
        slowest = max(range(len(walks)), key=lambda index: walks[index].seconds)
        walk = walks[slowest]
        if not walk.demands:
            return 0.0
        return self.costs.tile(split.devices[slowest], self.graph, walk.geometry)

    def exchange(self, split: Split, walks: Sequence[Walk], before: Split) -> float:
        """Seconds until every device has what it needs, when all fetch at the same time: the CPU
        time of the messages at both ends (one from each who has something), and the network's.

        The model's inputs are not counted: every plan has to hand them out.
        """
        spent: dict[str, float] = defaultdict(float)
        travelling: dict[str, float] = defaultdict(float)
        for device, walk in zip(split.devices, walks, strict=True):
            latency = 0.0
            for sender, nbytes in self._fetch(device, walk.needs, before).items():
                spent[device] += self._receiving[device].seconds(nbytes)
                spent[sender] += self._sending[sender].seconds(nbytes)
                path = self._path(sender, device)
                travelling[device] += nbytes / path.bandwidth
                latency = max(latency, path.latency)
            travelling[device] += latency
        if self.costs.cluster.network == "shared":
            return max(spent.values(), default=0.0) + sum(travelling.values())
        return max(spent[device] + travelling[device] for device in (*spent, *travelling))

    def _fetch(self, device: str, needs: Mapping[str, Region], before: Split) -> dict[str, int]:
        """Bytes that a device takes from each other."""
        fetched: dict[str, int] = {}
        for name, region in needs.items():
            if name in self.graph.producers:
                for sender, nbytes in self._fetched(device, name, region, before):
                    fetched[sender] = fetched.get(sender, 0) + nbytes
        return fetched

    def _fetched_bytes(
        self, device: str, name: str, region: Region, before: Split
    ) -> tuple[tuple[str, int], ...]:
        """(who has it, bytes) of what a device lacks of a region."""
        layout = dict(zip(before.devices, self.layouts.of(name, before), strict=True))
        held = layout.pop(device, None)
        missing = (region,) if held is None else tuple(region.subtract(held))
        if not missing:
            return ()
        itemsize = self.graph.tensors[name].itemsize
        found = []
        for sender, has in layout.items():
            if has is not None:
                common = (part.intersect(has) for part in missing)
                nbytes = itemsize * sum(part.size for part in common if part is not None)
                if nbytes:
                    found.append((sender, nbytes))
        return tuple(found)
