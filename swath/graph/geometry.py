"""Which regions a tile needs: the receptive field, walked from a stage's outputs to its inputs.

The walk is the one of papers on fused layers (DeepThings' "traversal", receptive-field based
segmentation), over any DAG and any axis: each node asks its rule, and a tensor with several
readers is needed on the hull of what they ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.ops import Demand, Region

if TYPE_CHECKING:
    from swath.graph.graph import Graph


@dataclass(frozen=True, slots=True)
class TileGeometry:
    """What a tile computes (``demands``: by node position, ascending) and what it must be given.

    ``needs`` holds the tensors that come from outside: model inputs and other stages' outputs.
    Constants are not among them; their regions stand in the demands.
    """

    demands: Mapping[int, Demand]
    needs: Mapping[str, Region]


def tile_geometry(
    graph: Graph, nodes: Sequence[int], outputs: Mapping[str, Region]
) -> TileGeometry:
    """The receptive field of ``outputs`` over a stage.

    ``nodes`` are the positions of the stage's nodes, ascending (topological); ``outputs`` the
    region of each tensor that the tile hands on. Nodes that the outputs do not need are left out.
    """
    return graph.recall(_walked, tuple(nodes), tuple(outputs.items()))


def _walked(
    graph: Graph, nodes: tuple[int, ...], outputs: tuple[tuple[str, Region], ...]
) -> TileGeometry:
    wanted: dict[str, Region] = dict(outputs)
    demands: dict[int, Demand] = {}
    produced: set[str] = set()
    for position in reversed(nodes):
        node = graph.nodes[position]
        asked = tuple(wanted.get(name) if name else None for name in node.outputs)
        if all(region is None for region in asked):
            continue
        demand = graph.rules[position].demand(graph.operators[position], asked)
        demands[position] = demand
        produced.update(name for name in node.outputs if name)
        for name, region in zip(node.reads, demand.inputs, strict=True):
            if region is None or not name or name in graph.constants:
                continue
            held = wanted.get(name)
            wanted[name] = region if held is None else held.hull(region)
    needs = {name: region for name, region in wanted.items() if name not in produced}
    return TileGeometry(dict(reversed(demands.items())), needs)


def tile_flops(graph: Graph, geometry: TileGeometry) -> int:
    """Floating-point operations of a tile, recomputed halos included."""
    return sum(
        graph.rules[position].flops(graph.operators[position], demand.outputs)
        for position, demand in geometry.demands.items()
    )


def handed_on(graph: Graph, nodes: Iterable[int]) -> tuple[str, ...]:
    """Tensors that a stage makes and somebody else (another stage, the caller) reads."""
    inside = set(nodes)
    outputs = set(graph.outputs)
    return tuple(
        name
        for position in sorted(inside)
        for name in graph.nodes[position].outputs
        if name
        and (
            name in outputs or any(reader not in inside for reader in graph.consumers.get(name, ()))
        )
    )
