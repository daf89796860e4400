"""One walk back through a network, from the ends of all blocks and for all their paths at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swath.ops import split_evenly
from swath.planners.building.strips import Ends
from swath.planners.building.tables import Tables
from swath.planners.methods.offload.blocks import Blocks, crossing, last_reader


@dataclass(frozen=True, slots=True)
class Needed:
    """Strips of one tensor at one cut, by block and column; whether a path reads them before its
    block's end."""

    ends: Ends
    is_read: np.ndarray


class Walk:
    """What paths need, as far as the walk has come; a few lookups per operator take it further
    (`swath.planners.building.tables`)."""

    def __init__(self, tables: Tables, blocks: Blocks) -> None:
        self._tables = tables
        self._graph = tables.graph
        self._positions = blocks.positions
        self._most = int(blocks.paths.max())
        self._shape = blocks.shape[1:]
        self._kinds = int(tables.kinds.max()) + 1
        self._needs: dict[str, Ends] = {}

    def needed(self, cut: int) -> dict[str, Needed]:
        """What paths that are cut here have made: what they need behind the cut, and their shares
        of what is needed only behind the block."""
        inputs = [name for name in self._needs if name in self._graph.inputs]
        found = {name: Needed(self._needs[name], self._needs[name].sizes > 0) for name in inputs}
        for name in crossing(self._graph, cut):
            own = self._own(name)
            need = self._needs.get(name)
            is_read = np.zeros(self._shape, dtype=bool) if need is None else need.sizes > 0
            if need is not None:
                own = Ends(np.where(is_read, need.lo, own.lo), np.where(is_read, need.hi, own.hi))
            found[name] = Needed(own, is_read)
        return found

    def back(self, stop: int, start: int) -> np.ndarray:
        """Seconds of CPU of the nodes from ``start`` on and before ``stop``, by kind."""
        seconds = np.zeros((self._kinds, *self._shape))
        for position in range(stop - 1, start - 1, -1):
            for name in self._graph.nodes[position].outputs:
                if name:
                    seconds += self._visit(position, name)
        return seconds

    def _visit(self, position: int, name: str) -> np.ndarray:
        tables, needs = self._tables, self._needs
        wanted = self._own(name)
        if name in needs:
            wanted = wanted.hull(needs.pop(name))
        table = tables.table(name, "rows")
        for read, first, after in zip(
            tables.followed(position), table.first, table.after, strict=True
        ):
            lo, hi = first[wanted.lo], after[wanted.hi]
            is_empty = lo >= hi
            ends = Ends(
                np.where(is_empty, tables.extent(read, "rows"), lo), np.where(is_empty, 0, hi)
            )
            needs[read] = needs[read].hull(ends) if read in needs else ends
        return np.asarray(tables.seconds(name, "rows")[:, wanted.sizes])

    def _own(self, name: str) -> Ends:
        """The share of each path in what its block hands on."""
        tables, graph = self._tables, self._graph
        extent = tables.extent(name, "rows")
        lo = np.full(self._shape, extent)
        hi = np.zeros(self._shape, dtype=int)
        crosses = (self._positions > graph.producers[name]) & (
            self._positions <= last_reader(graph, name)
        )
        if crosses.any():
            shares = self._shares(extent, tables.axis(name, "rows") is None)
            lo[crosses], hi[crosses] = shares[:, 0], shares[:, 1]
        return Ends(lo, hi)

    def _shares(self, extent: int, is_whole: bool) -> np.ndarray:
        """(first, after the last) by column; what cannot be cut is the first path's."""
        found: list[tuple[int, int]] = []
        for paths in range(1, self._most + 1):
            if is_whole:
                found += [(0, 1), *[(extent, 0)] * (paths - 1)]
            else:
                found += [(a, b) if a < b else (extent, 0) for a, b in split_evenly(extent, paths)]
        return np.array(found)
