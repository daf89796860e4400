"""Operators whose output entry is one input entry, found axis by axis: Slice, Pad, Split, Tile.

On each axis an index map says which input index every output index reads; `FILL` stands for a
value that comes from elsewhere (the constant of a Pad). A part then needs the hull of the indices
that it reads, and picks them out of that slab.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from swath.ops.emitting import emit_gather, emit_identity, emit_strided
from swath.ops.region import Interval, Region
from swath.ops.rule import Demand, Emitter, Operator, Regions
from swath.ops.split_rule import DataMovement

FILL = -1

IndexMap = np.ndarray | None
"""The input index of every output index of an axis; None: the same index."""


def needed_interval(index_map: IndexMap, outputs: Interval) -> Interval:
    """The hull of the input indices that some outputs read; empty where all are filled."""
    if index_map is None:
        return outputs
    read = index_map[outputs[0] : outputs[1]]
    read = read[read != FILL]
    return (int(read.min()), int(read.max()) + 1) if read.size else (0, 0)


def with_something_read(index_map: IndexMap, outputs: Interval) -> Interval | None:
    """The outputs, and where these are all filled their nearest neighbour that is not.

    None where every output is: such a part would need nothing, and no tile can be given nothing.
    """
    lo, hi = outputs
    if index_map is None or (index_map[lo:hi] != FILL).any():
        return outputs
    behind = np.flatnonzero(index_map[hi:] != FILL)
    before = np.flatnonzero(index_map[:lo] != FILL)
    if behind.size and (not before.size or behind[0] <= lo - 1 - before[-1]):
        return lo, hi + int(behind[0]) + 1
    return (int(before[-1]), hi) if before.size else None


class IndexMapRule(DataMovement):
    """Shared by operators that move entries of input 0. Every other input becomes a constant of
    the sliced operator unless `carried` keeps it."""

    carried: frozenset[int] = frozenset()
    """Inputs that the sliced operator reads as they are."""

    @abstractmethod
    def index_maps(self, op: Operator, output: int) -> Sequence[IndexMap] | None:
        """The map of every axis of an output; None where this form is taken whole."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        needed: Region | None = None
        made: list[Region | None] = []
        for output, region in enumerate(wanted):
            if region is None:
                made.append(None)
                continue
            maps = self.index_maps(op, output)
            if maps is None:
                return None
            intervals = [
                with_something_read(index_map, interval)
                for index_map, interval in zip(maps, region, strict=True)
            ]
            enlarged = Region(interval for interval in intervals if interval is not None)
            if len(enlarged) < len(intervals):
                return None
            made.append(enlarged)
            reads = Region(map(needed_interval, maps, enlarged))
            needed = reads if needed is None else needed.hull(reads)
        rest = [
            tensor.whole if tensor is not None and index in self.carried else None
            for index, tensor in enumerate(op.inputs)
        ]
        return Demand(tuple(made), (needed, *rest[1:]))

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        held = demand.inputs[0]
        assert held is not None
        made: list[str | None] = []
        for output, region in enumerate(demand.outputs):
            maps = None if region is None else self.index_maps(op, output)
            if region is None or maps is None:
                made.append(None)
                continue
            relative = [
                None
                if index_map is None
                else np.where(index_map[lo:hi] == FILL, FILL, index_map[lo:hi] - base)
                for index_map, (lo, hi), (base, _) in zip(maps, region, held, strict=True)
            ]
            cropped = [
                np.arange(lo - base, hi - base) if index_map is None else index_map
                for index_map, (lo, hi), (base, _) in zip(relative, region, held, strict=True)
            ]
            made.append(self.emit_output(op, region, held.shape, cropped, inputs, emitter))
        return tuple(made)

    def emit_output(
        self,
        op: Operator,
        region: Region,
        held: Sequence[int],
        indices: Sequence[np.ndarray],
        inputs: Sequence[str | None],
        emitter: Emitter,
    ) -> str:
        """One output: ``indices`` (per axis, into a slab of shape ``held``) picked out of it."""
        source = inputs[0]
        assert source is not None
        name = emit_indices(emitter, source, held, indices)
        return emit_identity(emitter, source) if name == source else name


def emit_indices(
    emitter: Emitter, source: str, held: Sequence[int], indices: Sequence[np.ndarray]
) -> str:
    """The entries at ``indices`` of every axis: by Slice where they are evenly spaced.

    ``source`` itself where these are all of its entries, in order.
    """
    ranges: dict[int, range] = {}
    others: dict[int, np.ndarray] = {}
    for axis, index in enumerate(indices):
        even = _as_range(index)
        if even is None or (even.step != 1 and emitter.opset < 10):
            others[axis] = index
        elif even != range(held[axis]):
            ranges[axis] = even
    name = emit_strided(emitter, source, ranges) if ranges else source
    for axis, index in others.items():
        name = emit_gather(emitter, name, index, axis)
    return name


def _as_range(index: np.ndarray) -> range | None:
    """The same indices as a range, where they are evenly spaced."""
    if index.size == 1:
        return range(int(index[0]), int(index[0]) + 1)
    step = int(index[1] - index[0])
    if step == 0 or (np.diff(index) != step).any():
        return None
    return range(int(index[0]), int(index[-1]) + (1 if step > 0 else -1), step)
