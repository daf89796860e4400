"""Regions: boxes of a tensor, and the little algebra that everything else is made of.

A region holds one half-open interval per axis. Rows, columns, grids, channels, features and
batches are all the same thing here, and so are a halo, a scatter and a gather: what is needed
minus what is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Self

Interval = tuple[int, int]
"""Half-open: ``(lo, hi)`` holds ``lo .. hi-1``."""


class Region(tuple[Interval, ...]):
    """A box of a tensor, one half-open interval per axis.

    A scalar, and a tensor whose shape is not known before it runs, has the one region ``()``:
    it is there or it is not.

    >>> Region([(0, 2), (4, 8)]).shape
    (2, 4)
    """

    __slots__ = ()

    @classmethod
    def whole(cls, shape: Iterable[int]) -> Self:
        """The region that covers a tensor of this shape."""
        return cls((0, extent) for extent in shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(hi - lo for lo, hi in self)

    @property
    def size(self) -> int:
        """How many elements it holds (1 for a scalar)."""
        return prod([hi - lo for lo, hi in self])

    @property
    def origin(self) -> tuple[int, ...]:
        return tuple(lo for lo, _ in self)

    def is_empty(self) -> bool:
        return any(hi <= lo for lo, hi in self)

    def replace(self, axis: int, interval: Interval) -> Region:
        """The same box with another interval on one axis."""
        return Region((*self[:axis], interval, *self[axis + 1 :]))

    def contains(self, other: Region) -> bool:
        return all(
            lo <= other_lo and other_hi <= hi
            for (lo, hi), (other_lo, other_hi) in zip(self, other, strict=True)
        )

    def intersect(self, other: Region) -> Region | None:
        """The common box, or None where there is none."""
        common = []
        # Compiling asks this of very many boxes, most of which have nothing in common: comparing
        # takes a third of the time of `max` and `min`.
        for (lo, hi), (other_lo, other_hi) in zip(self, other, strict=True):
            if other_lo > lo:
                lo = other_lo
            if other_hi < hi:
                hi = other_hi
            if lo >= hi:
                return None
            common.append((lo, hi))
        return Region(common)

    def hull(self, other: Region) -> Region:
        """The smallest box that contains both."""
        return Region(
            (min(a_lo, b_lo), max(a_hi, b_hi))
            for (a_lo, a_hi), (b_lo, b_hi) in zip(self, other, strict=True)
        )

    def subtract(self, other: Region) -> tuple[Region, ...]:
        """What is left when ``other`` is taken away: disjoint boxes, at most two per axis."""
        common = self.intersect(other)
        if common is None:
            return () if self.is_empty() else (self,)
        left: list[Region] = []
        rest = self
        for axis, (lo, hi) in enumerate(common):
            rest_lo, rest_hi = rest[axis]
            if rest_lo < lo:
                left.append(rest.replace(axis, (rest_lo, lo)))
            if hi < rest_hi:
                left.append(rest.replace(axis, (hi, rest_hi)))
            rest = rest.replace(axis, (lo, hi))
        return tuple(left)

    def relative_to(self, container: Region) -> Region:
        """The same box in the coordinates of a buffer that holds ``container``."""
        return Region(
            (lo - base, hi - base) for (lo, hi), (base, _) in zip(self, container, strict=True)
        )

    def slices(self) -> tuple[slice, ...]:
        """Ready to index an array that holds the whole tensor."""
        return tuple(slice(lo, hi) for lo, hi in self)

    def __repr__(self) -> str:
        return "[" + ", ".join(f"{lo}:{hi}" for lo, hi in self) + "]"


def subtract_all(region: Region, taken: Iterable[Region]) -> tuple[Region, ...]:
    """What is left of ``region`` when every region of ``taken`` is taken away."""
    left: tuple[Region, ...] = () if region.is_empty() else (region,)
    for other in taken:
        if not left:
            break
        left = tuple(piece for box in left for piece in box.subtract(other))
    return left


def is_covered(region: Region, by: Iterable[Region]) -> bool:
    """Whether the boxes together contain the whole of ``region``."""
    return not subtract_all(region, by)


def split_evenly(extent: int, parts: int) -> tuple[Interval, ...]:
    """``extent`` cut into ``parts`` intervals that differ by at most one; some may be empty."""
    return split_by_shares(extent, [1.0] * parts)


def split_by_shares(
    extent: int, shares: Sequence[float], granularity: int = 1
) -> tuple[Interval, ...]:
    """``extent`` cut in order, proportionally to ``shares``, at multiples of ``granularity``.

    Rounding is by largest remainder, so that no interval is off by a whole unit; an interval may
    be empty. Raises ValueError where the shares are negative or all zero.
    """
    total = float(sum(shares))
    if total <= 0 or min(shares) < 0:
        raise ValueError(f"shares must be positive: {list(shares)}")
    units = -(-extent // granularity)
    exact = [units * share / total for share in shares]
    counts = [int(value) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: (counts[i] - exact[i], i))
    for index in by_remainder[: units - sum(counts)]:
        counts[index] += 1
    intervals: list[Interval] = []
    start = 0
    for count in counts:
        stop = start + count
        intervals.append((min(start * granularity, extent), min(stop * granularity, extent)))
        start = stop
    return tuple(intervals)
