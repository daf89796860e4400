"""Strips of a network's tensors under many splits, on all devices, at once.

A walk back through a stage is a few lookups per operator (`swath.planners.building.tables`), in
arrays that hold all splits (first axis) and all devices (second).
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from swath.ops import split_by_shares
from swath.planners.building.layouts import Mode, Split
from swath.planners.building.tables import Tables


@dataclass(frozen=True, slots=True)
class Ends:
    """Strips ``[lo, hi)`` by split and device. An empty one has the tensor's extent and 0, so that
    the hull of two is a minimum and a maximum."""

    lo: np.ndarray
    hi: np.ndarray

    def hull(self, other: Ends) -> Ends:
        return Ends(np.minimum(self.lo, other.lo), np.maximum(self.hi, other.hi))

    @property
    def sizes(self) -> np.ndarray:
        """Entries of each."""
        return np.asarray(np.maximum(self.hi - self.lo, 0))


@dataclass(frozen=True, slots=True)
class Work:
    """One output of an operator under all splits: the tables of their modes, one behind the other,
    and where each split's begins (``starts``, a column).

    ``first[input]`` and ``after[input]`` as in `needed`, ``extents[input]`` by split;
    ``seconds[kind]``: of a kind of device's CPU, ``weights``: bytes of constants, by size.
    """

    reads: tuple[str, ...]
    starts: np.ndarray
    first: tuple[np.ndarray, ...]
    after: tuple[np.ndarray, ...]
    extents: tuple[np.ndarray, ...]
    seconds: np.ndarray
    weights: np.ndarray

    def needed(self, wanted: Ends) -> Iterator[tuple[str, Ends]]:
        """The strips of each input that strips of the output need."""
        low, high = self.starts + wanted.lo, self.starts + wanted.hi
        for name, first, after, extents in zip(
            self.reads, self.first, self.after, self.extents, strict=True
        ):
            lo, hi = first[low], after[high]
            is_empty = lo >= hi
            yield name, Ends(np.where(is_empty, extents, lo), np.where(is_empty, 0, hi))


class Strips:
    """Strips of a graph under some splits."""

    def __init__(self, tables: Tables, splits: Sequence[Split]) -> None:
        self.tables = tables
        self.splits = tuple(splits)
        self._place = {name: place for place, name in enumerate(tables.devices)}
        self._modes: tuple[Mode, ...] = tuple(dict.fromkeys(split.mode for split in splits))
        self._mode_of = np.array([self._modes.index(split.mode) for split in splits])
        self._ends: dict[Hashable, Ends] = {}
        self._counts: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.axes = lru_cache(maxsize=None)(self._axes)
        self.extents = lru_cache(maxsize=None)(self._extents)
        self.work = lru_cache(maxsize=None)(self._work)

    def _extents(self, name: str) -> np.ndarray:
        """Entries of a tensor along its axis, by split (a column)."""
        by_mode = np.array([self.tables.extent(name, mode) for mode in self._modes])
        return np.asarray(by_mode[self._mode_of][:, None])

    def _axes(self, name: str) -> np.ndarray:
        """Along which axis a tensor lies, by split; -1: it is one."""
        found = [self.tables.axis(name, mode) for mode in self._modes]
        by_mode = np.array([-1 if axis is None else axis for axis in found])
        return np.asarray(by_mode[self._mode_of])

    def held(self, name: str) -> Ends:
        """Which strip of a tensor each device makes, by split."""
        if self.tables.layouts.are_partial(name):
            key: Hashable = name
        else:
            key = tuple(
                (self.tables.extent(name, m), self.tables.axis(name, m) is None)
                for m in self._modes
            )
        if key not in self._ends:
            self._ends[key] = self._lay_out(name)
        return self._ends[key]

    def touched(self, name: str, ways: np.ndarray, wanted: Ends) -> np.ndarray:
        """How many devices make something of each wanted strip, if the tensor is made by the splits
        ``ways`` (first axis), and what is wanted lies along their axis."""
        held = self.held(name)
        key = id(held)
        if key not in self._counts:
            self._counts[key] = _counts(held, int(self.extents(name).max()))
        begun, over = self._counts[key]
        rows = ways[:, None, None]
        most = begun.shape[1] - 1
        found = begun[rows, np.minimum(wanted.hi, most)] - over[rows, np.minimum(wanted.lo, most)]
        return np.asarray(np.maximum(found, 0))

    def _lay_out(self, name: str) -> Ends:
        lo = np.repeat(self.extents(name), len(self.tables.devices), axis=1)
        hi = np.zeros_like(lo)
        for row, split in enumerate(self.splits):
            axis = self.tables.axis(name, split.mode)
            if axis is None:
                place = self._place[split.fastest]
                lo[row, place], hi[row, place] = 0, 1
            elif self.tables.layouts.are_partial(name):
                regions = self.tables.layouts.of(name, split)
                for device, region in zip(split.devices, regions, strict=True):
                    if region is not None:
                        lo[row, self._place[device]], hi[row, self._place[device]] = region[axis]
            else:
                extent = self.tables.extent(name, split.mode)
                intervals = split_by_shares(extent, split.weights)
                for device, (start, stop) in zip(split.devices, intervals, strict=True):
                    if start < stop:
                        lo[row, self._place[device]], hi[row, self._place[device]] = start, stop
        return Ends(lo, hi)

    def _work(self, name: str) -> Work:
        """What making strips of a tensor needs and takes."""
        tables = self.tables
        reads = tables.followed(tables.graph.producers[name])
        found = [tables.table(name, mode) for mode in self._modes]
        ends = [table.sizes[-1] + 1 for table in found]
        starts = np.array([0, *itertools.accumulate(ends[:-1])])
        return Work(
            reads,
            starts[self._mode_of][:, None],
            tuple(np.concatenate(each) for each in zip(*(t.first for t in found), strict=True)),
            tuple(np.concatenate(each) for each in zip(*(t.after for t in found), strict=True)),
            tuple(self.extents(read) for read in reads),
            np.concatenate([tables.seconds(name, mode) for mode in self._modes], axis=1),
            np.concatenate([tables.weights(name, mode) for mode in self._modes]),
        )


def _counts(held: Ends, extent: int) -> tuple[np.ndarray, np.ndarray]:
    """(how many strips begin before an entry, how many are over there), by split and entry."""
    begun = np.zeros((len(held.lo), extent + 1), dtype=np.int32)
    over = np.zeros_like(begun)
    rows, places = np.nonzero(held.sizes)
    np.add.at(begun, (rows, held.lo[rows, places] + 1), 1)
    np.add.at(over, (rows, held.hi[rows, places]), 1)
    return np.cumsum(begun, axis=1), np.cumsum(over, axis=1)
