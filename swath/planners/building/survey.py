"""What published methods look at in a network: where its maps end, and which devices are strong."""

from __future__ import annotations

from collections.abc import Sequence

from swath.cost import Costs
from swath.graph.graph import Graph
from swath.ops import RANDOM_OPERATORS


def maps_end(graph: Graph, cuts: Sequence[int]) -> int:
    """The first cut behind which nothing has rows any more: where the fully connected layers
    begin. The last cut, where there are none."""
    last = max(
        (
            position
            for position, node in enumerate(graph.nodes)
            for name in node.outputs
            if name and _has_rows(graph, name)
        ),
        default=-1,
    )
    return next(cut for cut in cuts if cut > last)


def extent_before(graph: Graph, cut: int, axis: int) -> int:
    """How many rows (axis 2) or columns (axis 3) the map has that is made just before a cut; 1
    where it has no such axis."""
    last = next(name for name in reversed(graph.nodes[cut - 1].outputs) if name)
    shape = graph.tensors[last].shape or ()
    return shape[axis] if axis < len(shape) else 1


def _has_rows(graph: Graph, name: str) -> bool:
    shape = graph.tensors[name].shape
    return shape is not None and len(shape) > 2 and shape[2] > 1


def by_speed(costs: Costs) -> tuple[str, ...]:
    """Names of the computing devices, the fastest first."""
    names = [device.name for device in costs.cluster.workers]
    return tuple(sorted(names, key=lambda name: -costs.sustained(name)))


def primary(costs: Costs) -> str:
    """Who does what is not shared: the source, or the fastest where the source computes nothing."""
    source = costs.cluster.source
    is_working = any(device.name == source for device in costs.cluster.workers)
    return source if is_working else by_speed(costs)[0]


def must_be_whole(graph: Graph, costs: Costs) -> bool:
    """Whether there is nothing to share: one device, or numbers drawn at random, which are drawn
    once."""
    is_random = any(node.type in RANDOM_OPERATORS for node in graph.nodes)
    return is_random or len(costs.cluster.workers) < 2
