"""What runs of operators take and move, by the clock: the sums that methods compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from swath.cost import Costs
from swath.graph.geometry import handed_on, tile_geometry
from swath.graph.graph import Graph
from swath.ops import Region
from swath.planners.building.fusing import Segment
from swath.planners.building.layouts import Layouts, Split


def span_seconds(graph: Graph, costs: Costs, device: str, cuts: Sequence[int]) -> list[float]:
    """Seconds of a device for what lies between each two cuts in turn, nothing of it split."""
    found = []
    for start, stop in pairwise(cuts):
        nodes = range(start, stop)
        outputs = {name: graph.tensors[name].whole for name in handed_on(graph, nodes)}
        geometry = tile_geometry(graph, nodes, outputs)
        found.append(
            sum(
                costs.node(device, graph, position, demand)
                for position, demand in geometry.demands.items()
            )
            * slowdown(costs, device)
        )
    return found


def slowdown(costs: Costs, device: str) -> float:
    """Seconds by the clock in which a device gets a second of its CPU, in the long run."""
    quota = costs.quota(device)
    return 1.0 if quota is None else 1.0 / min(1.0, quota.share)


def crossing(graph: Graph, cut: int) -> int:
    """Bytes that are there before a cut and read behind it."""
    there = [*graph.inputs, *(name for name, producer in graph.producers.items() if producer < cut)]
    return sum(
        graph.tensors[name].nbytes
        for name in there
        if any(reader >= cut for reader in graph.consumers.get(name, ()))
    )


@dataclass(frozen=True, slots=True)
class Part:
    """What a device has to do of a stage: seconds by the clock for computing it, bytes of maps
    that it reads and that it hands on."""

    seconds: float
    read: int
    made: int


def parts_of(layouts: Layouts, costs: Costs, segment: Segment) -> tuple[Part, ...]:
    """The parts of a stage, by the devices of its split."""
    graph, split = layouts.graph, segment.split
    nodes = range(segment.start, segment.stop)
    regions = {name: layouts.of(name, split) for name in handed_on(graph, nodes)}
    found = []
    for index, device in enumerate(split.devices):
        of_device = {name: by_device[index] for name, by_device in regions.items()}
        outputs = {name: region for name, region in of_device.items() if region is not None}
        if not outputs:
            found.append(Part(0.0, 0, 0))
            continue
        geometry = tile_geometry(graph, nodes, outputs)
        seconds = costs.tile(device, graph, geometry) * slowdown(costs, device)
        found.append(Part(seconds, _nbytes(graph, geometry.needs), _nbytes(graph, outputs)))
    return tuple(found)


def through_leader(parts: Sequence[Part], split: Split, costs: Costs, leader: str) -> list[float]:
    """Seconds of each device from a leader's handing out what it reads to its having what the
    device made."""
    return [
        costs.transfer(leader, device, part.read)
        + part.seconds
        + costs.transfer(device, leader, part.made)
        for device, part in zip(split.devices, parts, strict=True)
    ]


def _nbytes(graph: Graph, regions: Mapping[str, Region]) -> int:
    return sum(region.size * graph.tensors[name].itemsize for name, region in regions.items())
