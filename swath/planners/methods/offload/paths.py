"""What the paths through a fused block take, for all blocks and cuts at once.

A block is all that lies before a cut (its end); it is cut into up to so many paths of equal rows
of what it hands on. One walk back through the network, a few lookups per operator
(`swath.planners.building.tables`), gives what each path of each block computes before every cut,
and which strips it needs there. Each number of paths has a column for every path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from swath.graph.graph import Graph
from swath.ops import RANDOM_OPERATORS, split_evenly
from swath.plan.order import memory_orders
from swath.plan.plan import Plan, Tile
from swath.plan.runs import contiguous_runs
from swath.planners.building.fusing import candidate_cuts
from swath.planners.building.layouts import Layouts
from swath.planners.building.strips import Ends
from swath.planners.building.survey import maps_end
from swath.planners.building.tables import Tables
from swath.planners.registry import Problem

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
    def columns(self) -> int:
        return int(column(self.paths.max() + 1))


def column(paths: np.ndarray) -> np.ndarray:
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
        place: min(1 if is_random else most, rows_of(layouts, cut))
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
        if producer < cut and _last_reader(graph, name) >= cut
    )


def rows_of(layouts: Layouts, cut: int) -> int:
    """Rows of the lowest map that crosses a cut; 0 where none does."""
    graph = layouts.graph
    rows = [
        shape[2]
        for name, shape in ((name, graph.tensors[name].shape) for name in crossing(graph, cut))
        if shape is not None and len(shape) == 4 and layouts.axis(name, "rows") == 2
    ]
    return min(rows, default=0)


def _last_reader(graph: Graph, name: str) -> int:
    if name in graph.outputs:
        return len(graph.nodes)
    return max(graph.consumers.get(name, ()), default=-1)


@dataclass(frozen=True, slots=True)
class Paths:
    """What paths take. ``seconds``: of CPU before a cut, by kind of device, place of the cut, block
    and column.

    What has to be there at a cut, by item, cut, block and column: the strip ``[lo, hi)``, and
    whether it ``is_read`` before the block's end; by item and cut: the number of its ``tensor``
    (-1: no such item) and the bytes of an entry. By tensor: the node that makes it (``maker``, -1:
    none), whether a part of it is copied before it is sent, by a device (``is_cut_out``) and by the
    coordinator (``is_picked_out``).
    """

    blocks: Blocks
    seconds: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    is_read: np.ndarray
    tensor: np.ndarray
    entry_bytes: np.ndarray
    maker: np.ndarray
    is_cut_out: np.ndarray
    is_picked_out: np.ndarray


def paths_of(problem: Problem, tables: Tables, blocks: Blocks) -> Paths:
    """The paths of all blocks."""
    walk = _Walk(tables, blocks)
    found: dict[int, dict[str, _Strips]] = {}
    count = len(blocks.cuts)
    kinds = int(tables.kinds.max()) + 1
    seconds = np.zeros((kinds, count, len(blocks.ends), blocks.columns))
    for place in range(count - 1, -1, -1):
        found[place] = walk.needed(blocks.cuts[place])
        if place:
            seconds[:, place] = walk.back(blocks.cuts[place], blocks.cuts[place - 1])
    slots = _slots([found[place] for place in range(count)])
    graph = tables.graph
    as_they_lie = _sent_as_they_lie(problem, tables, slots)
    numbers = {name: number for number, name in enumerate(slots)}
    items = max(slots.values(), default=0) + 1
    shape = (items, count, len(blocks.ends), blocks.columns)
    lo, hi = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    is_read = np.zeros(shape, dtype=bool)
    tensor = np.full((items, count), -1)
    entry_bytes = np.zeros((items, count))
    for place, needed in found.items():
        for name, strips in needed.items():
            item = slots[name]
            lo[item, place], hi[item, place] = strips.ends.lo, strips.ends.hi
            is_read[item, place] = strips.is_read
            tensor[item, place] = numbers[name]
            entry_bytes[item, place] = graph.tensors[name].nbytes / tables.extent(name, "rows")
    return Paths(
        blocks, np.cumsum(seconds, axis=1), lo, hi, is_read, tensor, entry_bytes,
        np.array([graph.producers.get(name, -1) for name in slots]),
        np.array([name not in as_they_lie for name in slots]),
        np.array([_is_picked_out(tables, name) for name in slots]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Strips:
    """Strips of one tensor at one cut."""

    ends: Ends
    is_read: np.ndarray


class _Walk:
    """The walk back from the ends of all blocks."""

    def __init__(self, tables: Tables, blocks: Blocks) -> None:
        self._tables = tables
        self._graph = tables.graph
        self._positions = blocks.positions
        self._most = int(blocks.paths.max())
        self._shape = (len(blocks.ends), blocks.columns)
        self._kinds = int(tables.kinds.max()) + 1
        self._needs: dict[str, Ends] = {}

    def needed(self, cut: int) -> dict[str, _Strips]:
        """What paths that are cut here have made: what they need behind the cut, and their shares
        of what is needed only behind the block."""
        inputs = [name for name in self._needs if name in self._graph.inputs]
        found = {name: _Strips(self._needs[name], self._needs[name].sizes > 0) for name in inputs}
        for name in crossing(self._graph, cut):
            own = self._own(name)
            need = self._needs.get(name)
            is_read = np.zeros(self._shape, dtype=bool) if need is None else need.sizes > 0
            if need is not None:
                own = Ends(np.where(is_read, need.lo, own.lo), np.where(is_read, need.hi, own.hi))
            found[name] = _Strips(own, is_read)
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
            self._positions <= _last_reader(graph, name)
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


def _slots(found: Sequence[dict[str, _Strips]]) -> dict[str, int]:
    """An item for each tensor: the same at all cuts that it crosses, no two at one cut alike."""
    slots: dict[str, int] = {}
    for needed in found:
        taken = {slots[name] for name in needed if name in slots}
        for name in needed:
            if name not in slots:
                slots[name] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
                taken.add(slots[name])
    return slots


def _sent_as_they_lie(problem: Problem, tables: Tables, names: Iterable[str]) -> set[str]:
    """Tensors whose rows lie together in memory where they are made in parts."""
    graph = tables.graph
    tiles = []
    for name in names:
        axis, whole = tables.axis(name, "rows"), graph.tensors[name].whole
        if name in graph.producers and axis is not None:
            middle = (whole[axis][0] + whole[axis][1]) // 2
            halves = ((whole[axis][0], middle), (middle, whole[axis][1]))
            tiles += [Tile("", "", {name: whole.replace(axis, half)}) for half in halves]
    parts = Plan("", "", graph, (), problem.costs.cluster.source, (), tuple(tiles))
    return set(memory_orders(parts, graph))


def _is_picked_out(tables: Tables, name: str) -> bool:
    axis, whole = tables.axis(name, "rows"), tables.graph.tensors[name].whole
    if axis is None or name in tables.graph.producers:
        return False
    lo, hi = whole[axis]
    return hi - lo > 1 and contiguous_runs(whole.replace(axis, (lo, hi - 1)), whole) is None
