"""What any rows of any block of layers need and take, from few walks.

A block's rows ``[lo, hi)`` need, of every map inside it, rows whose first follows ``lo`` and whose
end follows ``hi``. Where an operator's time is a straight line in its rows, the block's is
therefore that of ``[0, hi)`` and of ``[lo, end)``, less that of all rows: two numbers to look up.
One walk back from a block's end finds them for all its possible beginnings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from swath.cost import Costs
from swath.graph.graph import Graph
from swath.planners.building.layouts import Layouts
from swath.planners.building.strips import Ends
from swath.planners.building.tables import Tables
from swath.planners.building.weighing import slowdown


@dataclass(frozen=True, slots=True)
class Block:
    """Nodes ``start <= position < stop`` and their ``rows``: 1 where they cannot be split.

    Arrays have a column for each of the rows ``[0, 0) .. [0, rows)``, then for ``[0, rows) ..
    [rows, rows)``. ``taken``: seconds by the clock of each device (rows of the array, in the
    cluster's order); ``read``: bytes that are needed of maps from before; ``first``, ``after``: the
    ends of what is needed of the map that the block before ends with (nothing of it where the block
    is the first), ``entry``: bytes of one row of that map. ``made``: bytes handed on of one row of
    the block; ``weights``: bytes of all constants.
    """

    start: int
    stop: int
    rows: int
    taken: np.ndarray
    read: np.ndarray
    first: np.ndarray
    after: np.ndarray
    entry: float
    made: float
    weights: int

    @property
    def least_seconds(self) -> float:
        """What no sharing of the block can be faster than: as though nothing were computed twice,
        and each tile began at once."""
        whole = self.taken[:, self.rows]
        return float(whole.min() if self.rows < 2 else 1 / (1 / whole).sum())

    def seconds(self, device: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
        """Of devices (by place) for computing rows ``[lo, hi)``, not empty ones."""
        below = self.rows + 1 + lo
        taken = self.taken[device, hi] + self.taken[device, below] - self.taken[device, self.rows]
        return np.asarray(np.maximum(taken, 0.0))  # Lines are not always straight.

    def needed(self, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
        """Bytes that rows ``[lo, hi)`` need of maps from before."""
        return np.asarray(self.read[hi] + self.read[self.rows + 1 + lo] - self.read[self.rows])

    def kept(
        self, lo: np.ndarray, hi: np.ndarray, held_lo: np.ndarray, held_hi: np.ndarray
    ) -> np.ndarray:
        """Bytes of them that are there where rows ``[held_lo, held_hi)`` of the map before are."""
        first = np.maximum(self.first[self.rows + 1 + lo], held_lo)
        after = np.minimum(self.after[hi], held_hi)
        return np.asarray(self.entry * np.maximum(after - first, 0))


class RowBlocks:
    """Blocks of a graph on the devices of a cluster."""

    def __init__(self, graph: Graph, costs: Costs) -> None:
        names = tuple(device.name for device in costs.cluster.workers)
        self.graph = graph
        self.layouts = Layouts(graph)
        self._tables = Tables(self.layouts, costs)
        self._slowdown = np.array([[slowdown(costs, name)] for name in names])
        self._overhead = costs.overhead
        self._last_reader = {
            name: len(graph.nodes)
            if name in graph.outputs
            else max(graph.consumers.get(name, ()), default=-1)
            for name in graph.producers
        }

    def rows(self, cut: int) -> int:
        """Rows of the map that is made just before a cut; 1 where it has none, or none that could
        be made apart."""
        name = self._before(cut)
        return self._tables.extent(name, "rows") if self._tables.axis(name, "rows") == 2 else 1

    def block(self, start: int, stop: int) -> Block:
        return next(self.walk_back((start, stop), 1))

    def walk_back(self, cuts: Sequence[int], end: int) -> Iterator[Block]:
        """The blocks that stop at cut ``end``, the shortest first."""
        graph, tables = self.graph, self._tables
        stop = cuts[end]
        rows = self.rows(stop)
        wanted: dict[str, Ends] = {}
        taken = np.full((len(tables.devices), 2 * rows + 2), self._overhead)
        made, weights = 0.0, 0
        position = stop
        for index in range(end - 1, -1, -1):
            while position > cuts[index]:
                position -= 1
                for name in graph.nodes[position].outputs:
                    if name and self._last_reader[name] >= stop:
                        _add(wanted, name, self._handed_on(name, rows))
                        made += graph.tensors[name].nbytes / rows
                asked = [name for name in graph.nodes[position].outputs if name in wanted]
                for name in asked:
                    ends = wanted.pop(name)
                    if name == asked[0]:  # An operator takes its time once.
                        taken += tables.seconds(name, "rows")[tables.kinds][:, ends.sizes]
                        weights += int(tables.weights(name, "rows")[-1])
                    for read, needed in self._needed(name, ends):
                        _add(wanted, read, needed)
            yield self._block((cuts[index], stop, rows), wanted, taken, made, weights)

    def _block(
        self,
        extent: tuple[int, int, int],
        wanted: dict[str, Ends],
        taken: np.ndarray,
        made: float,
        weights: int,
    ) -> Block:
        read = np.zeros(taken.shape[1])
        for name, ends in wanted.items():
            read += ends.sizes * self._entry(name)
        start = extent[0]
        nothing = np.zeros(taken.shape[1], dtype=int)
        ends, entry = Ends(nothing, nothing), 0.0
        if start:
            before = self._before(start)
            ends, entry = wanted.get(before, ends), self._entry(before)
        return Block(*extent, taken * self._slowdown, read, ends.lo, ends.hi, entry, made, weights)

    def _before(self, cut: int) -> str:
        """What the node before a cut makes."""
        return next(name for name in reversed(self.graph.nodes[cut - 1].outputs) if name)

    def _entry(self, name: str) -> float:
        """Bytes of one row of a tensor."""
        return self.graph.tensors[name].nbytes / self._tables.extent(name, "rows")

    def _needed(self, name: str, ends: Ends) -> Iterator[tuple[str, Ends]]:
        """The strips of each input that strips of a tensor need."""
        table = self._tables.table(name, "rows")
        reads = self._tables.followed(self.graph.producers[name])
        for read, first, after in zip(reads, table.first, table.after, strict=True):
            yield read, _ends(first[ends.lo], after[ends.hi], self._tables.extent(read, "rows"))

    def _handed_on(self, name: str, rows: int) -> Ends:
        """The strips of a tensor that belong to a block's rows."""
        extent = self._tables.extent(name, "rows")
        row = np.arange(rows + 1)
        lo = np.concatenate([np.zeros_like(row), row * extent // rows])
        hi = np.concatenate([-(-row * extent // rows), np.full_like(row, extent)])
        return _ends(lo, hi, extent)


def _add(wanted: dict[str, Ends], name: str, ends: Ends) -> None:
    wanted[name] = wanted[name].hull(ends) if name in wanted else ends


def _ends(lo: np.ndarray, hi: np.ndarray, extent: int) -> Ends:
    is_empty = lo >= hi
    return Ends(np.where(is_empty, extent, lo), np.where(is_empty, 0, hi))
