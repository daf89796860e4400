"""Where a network may be cut, and what of it may be fused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.graph.graph import Graph
from swath.ops import RANDOM_OPERATORS
from swath.planners.building.fusing import candidate_cuts
from swath.planners.building.layouts import Layouts
from swath.planners.building.survey import maps_end

MOST_CROSSING = 4
"""Tensors that may cross a cut; paths that are cut where more do would have that much to send."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Where a network may be cut and what may be fused. ``cuts``: node positions; ``ends``: by
    block, its end's place among them; ``paths``: by block, how many it may be cut into at most."""

    cuts: tuple[int, ...]
    ends: np.ndarray
    paths: np.ndarray

    @property
    def positions(self) -> np.ndarray:
        """By block, the node position of its end."""
        return np.asarray(np.array(self.cuts)[self.ends])

    @property
    def last(self) -> int:
        """The place of the last cut, behind everything."""
        return len(self.cuts) - 1

    @property
    def columns(self) -> int:
        """Each number of paths has a column for every path."""
        return int(column(self.paths.max() + 1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a table by cut, block and column."""
        return len(self.cuts), len(self.ends), self.columns

    @property
    def width(self) -> int:
        """Entries of such a table for one cut."""
        return len(self.ends) * self.columns


def column(paths: np.ndarray | int) -> np.ndarray:
    """Where the columns of so many paths begin."""
    return np.asarray(paths * (paths - 1) // 2)


def blocks_of(layouts: Layouts, most: int) -> Blocks:
    """All blocks of a network, the last one all of it; where a block has fewer rows than ``most``
    or draws random numbers, it is cut into fewer paths."""
    graph = layouts.graph
    cuts = tuple(
        cut
        for cut in candidate_cuts(graph)
        if cut == len(graph.nodes) or len(crossing(graph, cut)) <= MOST_CROSSING
    )
    end = maps_end(graph, cuts)
    is_random = any(node.type in RANDOM_OPERATORS for node in graph.nodes)
    found = {
        place: min(1 if is_random else most, _rows_of(layouts, cut))
        for place, cut in enumerate(cuts)
        if 0 < cut <= end
    }
    last = len(cuts) - 1
    found[last] = max(1, found.get(last, 0))
    places = [place for place, paths in found.items() if paths]
    return Blocks(cuts, np.array(places), np.array([found[place] for place in places]))


def crossing(graph: Graph, cut: int) -> tuple[str, ...]:
    """Tensors that are made before a cut and read behind it, or outputs."""
    return tuple(
        name
        for name, producer in graph.producers.items()
        if producer < cut and last_reader(graph, name) >= cut
    )


def last_reader(graph: Graph, name: str) -> int:
    """The position of the last node that reads a tensor; behind all of them for an output."""
    if name in graph.outputs:
        return len(graph.nodes)
    return max(graph.consumers.get(name, ()), default=-1)


def _rows_of(layouts: Layouts, cut: int) -> int:
    """Rows of the lowest map that crosses a cut; 0 where none does."""
    graph = layouts.graph
    rows = [
        shape[2]
        for name, shape in ((name, graph.tensors[name].shape) for name in crossing(graph, cut))
        if shape is not None and len(shape) == 4 and layouts.axis(name, "rows") == 2
    ]
    return min(rows, default=0)
