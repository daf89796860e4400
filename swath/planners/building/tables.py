"""What strips of each operator's outputs need and take, asked of the rules and of the costs.

A strip is an interval of a tensor along one axis: rows, columns, channels, as a mode says. An
operator's strip needs a strip of each of its inputs, whose ends only ever move on when its own do;
so two tables per input say it all. They are asked of the rules, so they know strides, padding and
borders without a formula of their own; what a rule cannot give in strips along that axis it needs
whole.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from swath.cost import Costs
from swath.cost.curves import configuration
from swath.ops import Demand, Region
from swath.planners.building.layouts import Layouts, Mode

_PROBES = 1024
"""Strips of an operator's output that are asked about, at most."""

_GROWTH = 2
"""Strips whose seconds are asked grow by this factor; between them they are taken to be linear."""


@dataclass(frozen=True, slots=True)
class Table:
    """One output of an operator along one axis.

    ``first[input][lo]`` and ``after[input][hi]``: the ends of what its strip ``[lo, hi)`` needs;
    ``parts``: what strips of some ``sizes`` take.
    """

    first: tuple[np.ndarray, ...]
    after: tuple[np.ndarray, ...]
    sizes: tuple[int, ...]
    parts: tuple[Demand, ...]


class Tables:
    """Tables of a graph on a cluster's devices, made when they are first asked for."""

    def __init__(self, layouts: Layouts, costs: Costs) -> None:
        self.graph = layouts.graph
        self.layouts = layouts
        self.devices = tuple(device.name for device in costs.cluster.workers)
        self._costs = costs
        examples: dict[Hashable, str] = {}
        for name in self.devices:
            examples.setdefault(costs.kind(name), name)
        self._examples = tuple(examples.values())
        order = {kind: index for index, kind in enumerate(examples)}
        self.kinds = np.array([order[costs.kind(name)] for name in self.devices])
        self._tables: dict[Hashable, Table] = {}
        self.axis = lru_cache(maxsize=None)(layouts.axis)
        self.seconds = lru_cache(maxsize=None)(self._seconds)
        self.weights = lru_cache(maxsize=None)(self._weights)

    def extent(self, name: str, mode: Mode) -> int:
        """Entries of a tensor along its axis; 1 of one that has none."""
        axis, shape = self.axis(name, mode), self.graph.tensors[name].shape
        return 1 if axis is None or shape is None else shape[axis]

    def followed(self, position: int) -> tuple[str, ...]:
        """Tensors that a node reads and that are not constants."""
        reads = self.graph.nodes[position].reads
        return tuple(dict.fromkeys(n for n in reads if n and n not in self.graph.constants))

    def _seconds(self, name: str, mode: Mode) -> np.ndarray:
        """Seconds of CPU by kind of device (`kinds`) and by size of the strip."""
        position, table = self.graph.producers[name], self.table(name, mode)
        return np.array([
            _between(table, [self._costs.node(d, self.graph, position, p) for p in table.parts])
            for d in self._examples
        ])  # fmt: skip

    def _weights(self, name: str, mode: Mode) -> np.ndarray:
        """Bytes of constants that are read, by size of the strip."""
        graph, table = self.graph, self.table(name, mode)
        reads = graph.nodes[graph.producers[name]].reads
        return _between(table, [
            sum(
                region.size * graph.tensors[read].itemsize
                for read, region in zip(reads, part.inputs, strict=True)
                if read in graph.constants and region is not None
            )
            for part in table.parts
        ])  # fmt: skip

    def table(self, name: str, mode: Mode) -> Table:
        """What strips of a tensor need."""
        graph = self.graph
        position = graph.producers[name]
        node, reads = graph.nodes[position], self.followed(position)
        axes = (self.axis(name, mode), *(self.axis(read, mode) for read in reads))
        order = tuple(reads.index(read) if read in reads else -1 for read in node.reads)
        key = (configuration(graph.operators[position]), order, node.outputs.index(name), axes)
        if key not in self._tables:
            self._tables[key] = self._make(name, mode)
        return self._tables[key]

    def _make(self, name: str, mode: Mode) -> Table:
        graph = self.graph
        position = graph.producers[name]
        node, op, rule = graph.nodes[position], graph.operators[position], graph.rules[position]
        index, axis = node.outputs.index(name), self.axis(name, mode)
        whole, extent = graph.tensors[name].whole, self.extent(name, mode)

        def demand(lo: int, hi: int) -> Demand:
            wanted: list[Region | None] = [None] * len(op.outputs)
            wanted[index] = whole if axis is None else whole.replace(axis, (lo, hi))
            return rule.demand(op, tuple(wanted))

        asked = lru_cache(maxsize=None)(lambda lo, hi: demand(lo, hi).inputs)

        def end(lo: int, hi: int, read: str) -> tuple[int, int]:
            regions = (r for n, r in zip(node.reads, asked(lo, hi), strict=True) if n == read)
            found = [region for region in regions if region is not None]
            along = self.axis(read, mode)
            if not found:
                return self.extent(read, mode), 0
            if along is None:
                return 0, 1
            return min(r[along][0] for r in found), max(r[along][1] for r in found)

        ends = [
            _tabulated(partial(end, read=read), extent, self.extent(read, mode))
            for read in self.followed(position)
        ]
        sizes = _sizes(extent)
        begins = [(extent - size) // 2 for size in sizes]
        parts = [demand(lo, lo + size) for lo, size in zip(begins, sizes, strict=True)]
        return Table(
            tuple(first for first, _ in ends),
            tuple(after for _, after in ends),
            sizes,
            tuple(parts),
        )


def _between(table: Table, values: Sequence[float]) -> np.ndarray:
    """A value of every size from those of a table's sizes."""
    every = np.arange(table.sizes[-1] + 1)
    return np.asarray(np.interp(every, [0, *table.sizes], [0.0, *values]))


def _sizes(extent: int) -> tuple[int, ...]:
    sizes, size = [], 1
    while size < extent:
        sizes.append(size)
        size *= _GROWTH
    return (*sizes, extent)


def _tabulated(
    ends: Callable[[int, int], tuple[int, int]], extent: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """(first entry by the first one that is wanted, entry after the last by the one after the last
    wanted) of an input with ``most`` entries, from what strips need (``ends``).

    Nearly always an entry further means so many further, up to the borders, or the input has so
    many entries for one: this is tried on a few, and where it is not so strips of one entry are
    asked (of several, where there are very many).
    """
    entries = np.arange(extent)
    probed = sorted({*range(min(4, extent)), *range(max(0, extent - 4), extent),
                     *(extent * part // 8 for part in range(8))})  # fmt: skip
    found = np.array([ends(entry, entry + 1) for entry in probed])
    lows, highs = _affine(ends, extent, most)
    if not _agree(lows, highs, probed, found):
        lows = entries * most // extent
        highs = -(-(entries + 1) * most // extent)
    if not _agree(lows, highs, probed, found):
        step = -(-extent // _PROBES)
        asked = [ends(lo, min(lo + step, extent)) for lo in range(0, extent, step)]
        lows, highs = np.repeat(np.array(asked), step, axis=0)[:extent].T
    first = np.minimum.accumulate(np.append(lows, most)[::-1])[::-1]
    after = np.maximum.accumulate(np.insert(highs, 0, 0))
    return first, after


def _affine(
    ends: Callable[[int, int], tuple[int, int]], extent: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """What each entry needs if it goes on as in the middle."""
    middle = extent // 2
    lo, hi = ends(middle, middle + 1)
    step = ends(middle + 1, middle + 2)[0] - lo if middle + 1 < extent else 0
    further = step * (np.arange(extent) - middle)
    return np.clip(lo + further, 0, most), np.clip(hi + further, 0, most)


def _agree(lows: np.ndarray, highs: np.ndarray, probed: Sequence[int], found: np.ndarray) -> bool:
    """Whether what was found of some entries is what is supposed of all. Of an input that only some
    entries need, a few entries tell nothing."""
    is_needed = bool((found[:, 0] < found[:, 1]).all())
    return is_needed and np.array_equal(np.stack([lows[probed], highs[probed]], 1), found)
