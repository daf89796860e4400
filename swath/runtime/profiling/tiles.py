"""The tiles whose kernels are timed, one by one from a seeded generator.

Every third is a network as CNNs are made, for operators that compute; the others are runs, for
those that move data. The first ones cover every kind, so that few of them cover every family.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from swath.cost.features import (
    BLOCKING,
    CONVOLUTIONS,
    DENSE,
    FAMILIES,
    FAR,
    NEAR,
    NORMALIZATION,
    TRANSPOSED,
    UNBLOCKING,
)
from swath.graph.geometry import TileGeometry, tile_flops, tile_geometry
from swath.graph.graph import Graph
from swath.graph.tile import TileModel, extract_tile
from swath.ops import Region
from swath.runtime.profiling.networks import NETWORKS
from swath.runtime.profiling.runs import LAYOUT_RUNS, RUNS
from swath.runtime.profiling.shapes import HEIGHTS, height_of

COMPUTING = CONVOLUTIONS | {TRANSPOSED, DENSE, NORMALIZATION}
"""Families that are timed in networks. Of others it is chance there what the cache holds."""

EVERYWHERE = frozenset(FAMILIES) - {BLOCKING, UNBLOCKING}
"""Families that are timed in every run. Where a run is not made for it, a map changes its layout
once, at an end: what of it is in the cache there is chance, too."""

MANY_WEIGHTS = 256 << 10
"""Bytes of weights from which on it shows where they come from."""

TWINS = 2
"""Sessions of a tile that run in turn (`swath.runtime.profiling.kernels`)."""


@dataclass(frozen=True)
class TimedTile:
    """A tile whose kernels are timed; ``geometry`` is of the whole graph's nodes; ``families``:
    those that are timed in it."""

    graph: Graph
    geometry: TileGeometry
    model: TileModel
    families: frozenset[str]

    @property
    def weights(self) -> int:
        """Bytes of all weights."""
        return 4 * sum(weight.region.size for weight in self.model.weights.values())

    @property
    def shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Of its ``weights`` and ``inputs``, by name."""
        return {
            "weights": {name: held.region.shape for name, held in self.model.weights.items()},
            "inputs": {name: region.shape for name, region in self.model.inputs.items()},
        }

    def away(self, swept: int) -> int:
        """Bytes that are read before the same weights are again, where so many are ``swept``."""
        return swept + TWINS * self.weights


def draw_tile(number: int, most_flops: float) -> TimedTile:
    """The tile of this number: of at most ``most_flops``, where that leaves a row."""
    rng = random.Random(number)
    turn, which = divmod(number, 3)
    if which:
        run = RUNS[(2 * turn + which - 1) % len(RUNS)]
        families = frozenset(FAMILIES) if run in LAYOUT_RUNS else EVERYWHERE
        return whole_tile(run(rng).graph(), families)
    graph = NETWORKS[turn % len(NETWORKS)](rng).graph()
    whole = graph.tensors[graph.outputs[0]].whole
    for region in _slabs(rng, whole):
        tile = _tile(graph, region, COMPUTING)
        if tile_flops(graph, tile.geometry) <= most_flops:
            break
    return tile


def sweeps(number: int, tile: TimedTile) -> list[int]:
    """Bytes that are swept before each run of a tile that was drawn. Where there are many weights,
    every other time also so many that the weights come from afar."""
    turn = number // 3
    if tile.weights < MANY_WEIGHTS or turn % 2:
        return [NEAR]
    return [NEAR, FAR if turn % 4 else FAR // 4]


def whole_tile(graph: Graph, families: frozenset[str] = frozenset(FAMILIES)) -> TimedTile:
    """All of a network of one output."""
    return _tile(graph, graph.tensors[graph.outputs[0]].whole, families)


def _tile(graph: Graph, region: Region, families: frozenset[str]) -> TimedTile:
    nodes, outputs = range(len(graph.nodes)), {graph.outputs[0]: region}
    geometry = tile_geometry(graph, nodes, outputs)
    return TimedTile(graph, geometry, extract_tile(graph, nodes, outputs), families)


def _slabs(rng: random.Random, whole: Region) -> list[Region]:
    """A slab, or the whole in some cases; then ever thinner ones."""
    if len(whole) < 4:
        return [whole]
    first = height_of(rng, whole.shape[2])
    thinner = [height for height in reversed(HEIGHTS) if height < first]
    return [_rows(whole, height) for height in (first, *thinner)]


def _rows(whole: Region, height: int) -> Region:
    """Rows from the middle: they need halos on both sides, as most tiles do."""
    begin = (whole.shape[2] - height) // 2
    return whole.replace(2, (begin, begin + height))
