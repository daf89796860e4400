"""Each operator on each device as a monotone curve, whichever regressor foretells its time.

A curve holds the seconds of 1, 2, ... rows with all channels, and of 1, 2, ... channels relative to
all of them. A box takes rows' seconds times channels' share: for a convolution of FLOPs, of weights
that a part of the rows reads whole and a part of the channels in part, that product is exact.
Looking up is all that planners do; tabulating asks the models once per operator, device and load.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from swath.cost.fcpm import FCPM
from swath.cost.features import (
    CUTTING,
    DENSE,
    FAR,
    FREE,
    GLOBAL_POOLING,
    NEAR,
    REDUCTION,
    Features,
    describe,
    family,
    moving,
)
from swath.ops import Demand, Operator, Region, Rule, Tensor, rule_for, whole_of

_BY_INPUT = frozenset([GLOBAL_POOLING, REDUCTION])
"""Families whose time is told by what they read, not by what they write."""

_EVERY_ROW_UP_TO = 12
_STEP = 1.15
"""Heights that are asked of the models: each up to the first, then growing by the second; between
them curves are straight."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Which axis of a region counts as rows and which as channels (None: there is none)."""

    rows: int | None
    channels: int | None

    @staticmethod
    def of(kind: str, rank: int) -> Axes:
        """Of maps (batch, channels, rows, ...), and of matrices (..., rows, columns)."""
        if kind == DENSE or rank < 3:
            return Axes(rank - 2 if rank > 1 else None, rank - 1 if rank else None)
        return Axes(2, 1)


class Curve:
    """Seconds of any box of one operator's map on one device.

    ``rows``: seconds of 0, 1, ... rows over all else; ``channels``: the share of 0, 1, ... of them.
    """

    __slots__ = ("_channel_axis", "_per_row", "channels", "rows")

    def __init__(self, rows: np.ndarray, channels: np.ndarray, axes: Axes, entries: int) -> None:
        """``entries``: of the whole map."""
        # Lists: one entry at a time is looked up, many times.
        self.rows: list[float] = rows.tolist()
        self.channels: list[float] = channels.tolist()
        self._channel_axis = axes.channels
        self._per_row = entries / ((len(rows) - 1) * (len(channels) - 1))

    def at(self, box: Region) -> float:
        """Seconds of a box. What it takes of further axes counts as that share of its rows."""
        entries = 1
        for lo, hi in box:
            entries *= hi - lo
        if self._channel_axis is None:
            share = 1.0
        else:
            lo, hi = box[self._channel_axis]
            entries //= max(1, hi - lo)
            share = self.channels[hi - lo]
        return self.of_share(entries / self._per_row) * share

    @property
    def least(self) -> float:
        """Seconds of the whole map in parts of the size that is cheapest for what it is."""
        rows, channels = np.array(self.rows), np.array(self.channels)
        by_row = (rows[1:] / np.arange(1, len(rows))).min() * (len(rows) - 1)
        by_channel = (channels[1:] / np.arange(1, len(channels))).min() * (len(channels) - 1)
        return float(by_row * by_channel)

    def of_share(self, rows: float) -> float:
        """Seconds of so many rows, a fraction too."""
        below = int(rows)
        last = len(self.rows) - 1
        if below >= last:
            return self.rows[last]
        found = self.rows[below]
        rest = rows - below
        return found + rest * (self.rows[below + 1] - found) if rest else found


class Curves:
    """All curves of one device at one load."""

    def __init__(self, model: FCPM, load: float = 0.0, refill: float | None = None) -> None:
        """``model``: fitted; ``load``: share of the CPU that others use; ``refill``: of a device
        that a quota stops over and over, so that weights are always far away, the seconds that
        every byte of maps takes more; None of any other."""
        self.model = model
        self.load = load
        self._refill = refill or 0.0
        self._nearest = NEAR if refill is None else FAR
        self._by_configuration: dict[Hashable, Curve | None] = {}
        self._by_identity: dict[tuple[int, float], tuple[Operator, Curve | None]] = {}

    def of(self, op: Operator, away: float = NEAR) -> Curve | None:
        """The curve of an operator, shared by those of equal configuration; None: it is free.
        ``away``: bytes of all weights that are read in turn."""
        known = self._by_identity.get((id(op), away))
        if known is not None:
            return known[1]
        distance = min(max(away, self._nearest), FAR)
        key = (configuration(op), distance)
        if key not in self._by_configuration:
            self._by_configuration[key] = self._tabulated(op, distance)
        curve = self._by_configuration[key]
        # Holding the operator, so that its id stays its own.
        self._by_identity[id(op), away] = (op, curve)
        return curve

    def seconds(self, op: Operator, demand: Demand, away: float = NEAR) -> float:
        """A part of an operator, as its demand says; ``away`` as in `of`."""
        curve = self.of(op, away)
        if curve is None:
            return 0.0
        if family(op) in _BY_INPUT:
            box = demand.inputs[0]
            return curve.at(box) if box is not None else curve.of_share(len(curve.rows))
        if len(op.outputs) == 1:
            made = demand.outputs[0]
            return 0.0 if made is None else curve.at(made)
        asked = sum(region.size for region in demand.outputs if region is not None)
        whole = sum(tensor.whole.size for tensor in op.outputs if tensor is not None)
        return curve.of_share((len(curve.rows) - 1) * asked / whole)

    def least(self, op: Operator, away: float = NEAR) -> float:
        """All of an operator in the parts that are cheapest; nothing for one whose time is told by
        what it reads, as its parts may share that. ``away`` as in `of`."""
        curve = self.of(op, away)
        return 0.0 if curve is None or family(op) in _BY_INPUT else curve.least

    def reordering(self, kind: str, tensor: Tensor, part: Region) -> float:
        """Putting a part of a map into another layout (``kind``: `BLOCKING` or `UNBLOCKING`); free
        where the engine never does."""
        return self._moved(kind, tensor, part) if kind in self.model.models_ else 0.0

    def cutting(self, tensor: Tensor, part: Region) -> float:
        """Copying a part out of a map."""
        return self._moved(CUTTING, tensor, part)

    def _moved(self, kind: str, tensor: Tensor, part: Region) -> float:
        key = (kind, tensor.shape, tensor.itemsize)
        curve = self._by_configuration.get(key)
        if curve is None:
            curve = self._table(
                kind, tensor.whole, lambda region: moving(kind, region, tensor.itemsize)
            )
            self._by_configuration[key] = curve
        return curve.at(part)

    def _tabulated(self, op: Operator, away: float) -> Curve | None:
        kind = family(op)
        if kind == FREE:
            return None
        rule = rule_for(op)
        if kind in _BY_INPUT and op.inputs[0] is not None:
            # What a reduction takes is what it reads, so its curve is over its input.
            whole = describe(op, *_whole(op, rule), away)
            read = op.inputs[0].whole
            return self._table(kind, read, lambda region: _scaled(whole, region.size / read.size))
        first = next(index for index, tensor in enumerate(op.outputs) if tensor is not None)
        tensor = op.outputs[first]
        assert tensor is not None

        def features(region: Region) -> Features:
            asked: list[Region | None] = [None] * len(op.outputs)
            asked[first] = region
            if region == tensor.whole:
                return describe(op, *_whole(op, rule), away)
            demand = rule.demand(op, tuple(asked))
            return describe(op, rule.flops(op, demand.outputs), demand, away)

        return self._table(kind, tensor.whole, features)

    def _table(self, kind: str, whole: Region, features: Callable[[Region], Features]) -> Curve:
        """The curve over boxes of ``whole``, from the features of some of them."""
        axes = Axes.of(kind, len(whole))
        heights, by_rows = _slabs(whole, axes.rows)
        widths, by_channels = _slabs(whole, axes.channels)
        described = [features(region) for region in (*by_rows, *by_channels)]
        found = self.model.predict(kind, described, self.load)
        if self._refill:
            found = found + [self._refill * (part.read + part.written) for part in described]
        rows = _monotone(heights, found[: len(heights)])
        channels = _monotone(widths, found[len(heights) :])
        return Curve(rows, channels / channels[-1], axes, whole.size)


def _whole(op: Operator, rule: Rule) -> tuple[int, Demand]:
    """FLOPs and demand of an operator as a whole."""
    asked = whole_of(op)
    return rule.flops(op, asked), rule.demand(op, asked)


def _scaled(whole: Features, share: float) -> Features:
    return replace(
        whole, flops=whole.flops * share, read=whole.read * share, written=whole.written * share
    )


def _slabs(whole: Region, axis: int | None) -> tuple[list[int], list[Region]]:
    """Extents along an axis, up to the whole, and slabs of those extents, away from the borders
    where there is room: most tiles of a plan lie inside."""
    if axis is None:
        return [1], [whole]
    extent = whole[axis][1]
    extents: list[int] = []
    size = 1
    while size < extent:
        extents.append(size)
        size = size + 1 if size < _EVERY_ROW_UP_TO else max(size + 1, int(size * _STEP))
    extents.append(extent)
    starts = [(extent - size) // 2 for size in extents]
    return extents, [
        whole.replace(axis, (start, start + size))
        for start, size in zip(starts, extents, strict=True)
    ]


def _monotone(extents: Sequence[int], seconds: np.ndarray) -> np.ndarray:
    """Seconds of 0, 1, ... entries: the nearest curve (in squares) that never falls."""
    from sklearn.isotonic import isotonic_regression

    rising = isotonic_regression(np.asarray(seconds, dtype=float))
    table: np.ndarray = np.interp(np.arange(extents[-1] + 1), extents, rising)
    table[0] = 0.0
    return table


def configuration(op: Operator) -> Hashable:
    """Equal for operators that take equal time."""

    def tensors(found: Sequence[Any]) -> Hashable:
        return tuple(None if t is None else (t.shape, t.dtype) for t in found)

    values = tuple(None if v is None else (v.shape, v.tobytes()) for v in op.values)
    attributes = tuple(sorted((name, repr(value)) for name, value in op.attributes.items()))
    return op.domain, op.type, attributes, tensors(op.inputs), tensors(op.outputs), values
