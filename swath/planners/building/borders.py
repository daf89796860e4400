"""Border tiles before interior tiles, so that sending hides behind computing.

A tile whose borders other devices wait for is cut: first the bands that they need, which leave as
soon as they are made, then the rest. Worth it where the transfer takes longer than running the
engine more often and recomputing what the cut tiles share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from swath.cost import Costs
from swath.graph.geometry import TileGeometry, tile_geometry
from swath.graph.graph import Graph
from swath.ops import Region, subtract_all
from swath.plan.plan import Plan, Tile

WIDEST_BORDER = 0.5
"""Share of a tile that its borders may take; beyond it there is little left to hide behind."""


@dataclass(frozen=True, slots=True)
class _Bands:
    """One tensor of a tile: what others need at its low and its high end, and the rest."""

    low: Region | None
    high: Region | None
    rest: Region


def borders_first(plan: Plan, graph: Graph, costs: Costs) -> Plan:
    """The plan with tiles cut into borders and interior where that saves time.

    ``graph`` is the plan's graph with its reductions split.
    """
    nodes = {stage.name: [graph.index[name] for name in stage.nodes] for stage in plan.stages}
    geometries = [tile_geometry(graph, nodes[tile.stage], tile.outputs) for tile in plan.tiles]
    awaited = _awaited(plan, geometries)
    tiles: list[Tile] = []
    for place, tile in enumerate(plan.tiles):
        parts = _cut(tile, awaited[place])
        if len(parts) > 1:
            shapes = [tile_geometry(graph, nodes[tile.stage], part.outputs) for part in parts]
            sent = sum(_nbytes(graph, name, regions) for name, regions in awaited[place].items())
            if not _pays(tile, geometries[place], shapes, sent, graph, costs):
                parts = [tile]
        tiles.extend(parts)
    return replace(plan, tiles=tuple(tiles))


def _awaited(plan: Plan, geometries: Sequence[TileGeometry]) -> list[dict[str, list[Region]]]:
    """By tile: the parts of its outputs that tiles on other devices need and do not hold."""
    held: dict[tuple[str, str], list[Region]] = defaultdict(list)
    for tile in plan.tiles:
        for name, region in tile.outputs.items():
            held[tile.device, name].append(region)
    needed: dict[str, list[tuple[str, Region]]] = defaultdict(list)
    for tile, geometry in zip(plan.tiles, geometries, strict=True):
        for name, region in geometry.needs.items():
            for part in subtract_all(region, held[tile.device, name]):
                needed[name].append((tile.device, part))
    awaited: list[dict[str, list[Region]]] = []
    for tile in plan.tiles:
        parts: dict[str, list[Region]] = {}
        for name, region in tile.outputs.items():
            common = [
                part.intersect(region) for device, part in needed[name] if device != tile.device
            ]
            found = [part for part in common if part is not None]
            if found:
                parts[name] = found
        awaited.append(parts)
    return awaited


def _cut(tile: Tile, awaited: Mapping[str, Sequence[Region]]) -> list[Tile]:
    """The tile's borders and its interior; the tile alone where it has no narrow borders."""
    bands = {name: _bands(tile.outputs[name], parts) for name, parts in awaited.items()}
    low = {name: b.low for name, b in bands.items() if b is not None and b.low is not None}
    high = {name: b.high for name, b in bands.items() if b is not None and b.high is not None}
    if not low and not high:
        return [tile]
    rest = dict(tile.outputs)
    rest.update({name: b.rest for name, b in bands.items() if b is not None})
    return [replace(tile, outputs=outputs) for outputs in (low, high, rest) if outputs]


def _bands(region: Region, parts: Sequence[Region]) -> _Bands | None:
    """The narrowest bands along one axis that hold all the parts; None where they are too wide."""
    best: tuple[float, _Bands] | None = None
    for axis, (lo, hi) in enumerate(region):
        low_end, high_start = lo, hi
        for part in parts:
            part_lo, part_hi = part[axis]
            if part_hi - lo <= hi - part_lo:
                low_end = max(low_end, part_hi)
            else:
                high_start = min(high_start, part_lo)
        share = (low_end - lo + hi - high_start) / (hi - lo)
        if share <= WIDEST_BORDER and (best is None or share < best[0]):
            best = (
                share,
                _Bands(
                    region.replace(axis, (lo, low_end)) if low_end > lo else None,
                    region.replace(axis, (high_start, hi)) if high_start < hi else None,
                    region.replace(axis, (low_end, high_start)),
                ),
            )
    return None if best is None else best[1]


def _pays(
    tile: Tile,
    whole: TileGeometry,
    parts: Sequence[TileGeometry],
    sent: int,
    graph: Graph,
    costs: Costs,
) -> bool:
    """Whether what is hidden of the transfer outweighs the extra work."""
    in_parts = [costs.tile(tile.device, graph, part) for part in parts]
    extra = sum(in_parts) - costs.tile(tile.device, graph, whole)
    hidden = min(costs.fetch(tile.device, sent), in_parts[-1])
    return hidden > extra


def _nbytes(graph: Graph, name: str, regions: Sequence[Region]) -> int:
    return sum(region.size for region in regions) * graph.tensors[name].itemsize
