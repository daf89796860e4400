"""In which order of axes a tensor lies in memory while it is handed on.

Rows of an ``N x C x H x W`` map are scattered over memory, once per channel: a halo has to be
gathered to be sent, and what is received must be strewn into place. With channels last, rows are
contiguous, so that a tile writes straight into its successor's input and halos are sent as they
lie. It costs nothing where a convolution follows: ONNX Runtime reorders its input anyway (to
blocks of channels), and reads either order equally fast (docs/results/fabric.md).
"""

from __future__ import annotations

from swath.graph.graph import Graph
from swath.ops.region import Region
from swath.plan.plan import Plan

Order = tuple[int, ...]
"""Axes, outermost first; () stands for the tensor's own order."""

CHANNELS_LAST: Order = (0, 2, 3, 1)
CHANNEL_BLOCK = 16
"""ONNX Runtime blocks this many channels (8 without AVX-512); others it does not reorder."""


def memory_orders(plan: Plan, graph: Graph) -> dict[str, Order]:
    """The tensors that are not kept in their own order: maps split by rows on the way to a Conv.

    ``graph`` is the plan's graph with its reductions split.
    """
    regions: dict[str, set[Region]] = {}
    for tile in plan.tiles:
        for name, region in tile.outputs.items():
            regions.setdefault(name, set()).add(region)
    return {
        name: CHANNELS_LAST
        for name, parts in regions.items()
        if len(parts) > 1 and _is_map_for_conv(graph, name) and _are_rows(graph, name, parts)
    }


def _is_map_for_conv(graph: Graph, name: str) -> bool:
    tensor = graph.tensors[name]
    if tensor.shape is None or len(tensor.shape) != 4 or tensor.dtype != "float32":
        return False
    if tensor.shape[1] % CHANNEL_BLOCK or name in graph.outputs:
        return False
    readers = [graph.nodes[position] for position in graph.consumers.get(name, ())]
    is_captured = any(name in node.captures for node in readers)
    return not is_captured and any(node.type == "Conv" for node in readers)


def _are_rows(graph: Graph, name: str, parts: set[Region]) -> bool:
    whole = graph.tensors[name].whole
    return all(part.replace(2, whole[2]) == whole for part in parts) and whole[0] == (0, 1)
