"""How a stage is split among devices, and which region of a tensor each of them makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt
from operator import itemgetter
from typing import Literal

from swath.graph.graph import Graph
from swath.ops import SWATH_DOMAIN, Interval, Region, split_by_shares, splittable_axes

Mode = Literal["rows", "cols", "grid", "channels", "batch"]
MODES: tuple[Mode, ...] = ("rows", "cols", "grid", "channels", "batch")

_PREFERRED: Mapping[Mode, tuple[int, ...]] = {
    "rows": (2, 1, 3, 0),
    "cols": (3, 2, 1, 0),
    "channels": (1, 2, 3, 0),
    "batch": (0, 1, 2, 3),
}
"""Axes of ``N x C x H x W`` to try in turn. What has no rows (the features of an FC layer, the
output of a global pool) is split by channels."""


@dataclass(frozen=True, slots=True)
class Split:
    """Along what a stage is split, among which devices (in the order of their places on the map),
    and how much of it each is to get."""

    mode: Mode
    devices: tuple[str, ...]
    weights: tuple[float, ...]

    @classmethod
    def alone(cls, device: str) -> Split:
        """Nothing is split: one device makes all of it."""
        return cls("rows", (device,), (1.0,))

    @property
    def fastest(self) -> str:
        """Who gets most, and what cannot be split."""
        return max(zip(self.weights, self.devices, strict=True), key=itemgetter(0))[1]


def grid_shape(parts: int) -> tuple[int, int]:
    """The most square rows x columns with that many cells."""
    rows = next(r for r in range(isqrt(parts), 0, -1) if parts % r == 0)
    return parts // rows, rows


class Layouts:
    """Regions of a graph's tensors by the split of who makes them; remembers what it has worked
    out."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._of = lru_cache(maxsize=None)(self._lay_out)

    def of(self, tensor: str, split: Split) -> tuple[Region | None, ...]:
        """The region that each of the split's devices makes; None: nothing of it.

        A tensor that cannot be split (its operator needs everything at once, or it is one entry)
        is made whole by the fastest device.
        """
        return self._of(tensor, split)

    def axis(self, tensor: str, mode: Mode) -> int | None:
        """Along which axis a tensor is cut; None: it cannot be. A grid's is its first."""
        axes = self._splittable(tensor)
        leading = len(self._split_axes(tensor))
        if self._lie_with_data(tensor, mode):
            return 0
        wanted = [axis + leading for axis in _PREFERRED["rows" if mode == "grid" else mode]]
        return next((axis for axis in wanted if axis in axes), axes[0] if axes else None)

    def are_partial(self, tensor: str) -> bool:
        """Whether a tensor holds partial results, which lie where the data is that they are of."""
        return bool(self._split_axes(tensor))

    def _lay_out(self, tensor: str, split: Split) -> tuple[Region | None, ...]:
        shape = self.graph.tensors[tensor].shape
        axes = self._splittable(tensor)
        axis = self.axis(tensor, split.mode)
        if shape is None or axis is None:
            return self._alone(tensor, split)
        if split.mode == "grid" and len(shape) >= 4 and 2 in axes and 3 in axes:
            return self._grid(tensor, shape, split)
        if self._lie_with_data(tensor, split.mode):
            return self._partials(tensor, split)
        return self._along(tensor, axis, split_by_shares(shape[axis], split.weights))

    def _splittable(self, tensor: str) -> tuple[int, ...]:
        position = self.graph.producers.get(tensor)
        if position is None:  # A model's input can be cut anywhere.
            shape = self.graph.tensors[tensor].shape or ()
            return tuple(axis for axis, extent in enumerate(shape) if extent > 1)
        output = self.graph.nodes[position].outputs.index(tensor)
        return splittable_axes(self.graph.operators[position], output)

    def _alone(self, tensor: str, split: Split) -> tuple[Region | None, ...]:
        whole, fastest = self.graph.tensors[tensor].whole, split.fastest
        return tuple(whole if device == fastest else None for device in split.devices)

    def _along(
        self, tensor: str, axis: int, intervals: Sequence[Interval]
    ) -> tuple[Region | None, ...]:
        whole = self.graph.tensors[tensor].whole
        return tuple(
            whole.replace(axis, interval) if interval[0] < interval[1] else None
            for interval in intervals
        )

    def _grid(self, tensor: str, shape: tuple[int, ...], split: Split) -> tuple[Region | None, ...]:
        weights = split.weights
        rows, columns = grid_shape(len(weights))
        by_row = split_by_shares(
            shape[2], [sum(weights[r * columns : (r + 1) * columns]) for r in range(rows)]
        )
        whole = self.graph.tensors[tensor].whole
        regions: list[Region | None] = []
        for r in range(rows):
            by_column = split_by_shares(shape[3], weights[r * columns : (r + 1) * columns])
            for column in by_column:
                region = whole.replace(2, by_row[r]).replace(3, column)
                regions.append(None if region.is_empty() else region)
        return tuple(regions)

    def _split_axes(self, tensor: str) -> Mapping[int, tuple[int, ...]]:
        """Of a tensor of partial results: bounds by the axis of the data along which they lie."""
        if tensor not in self.graph.producers:
            return {}
        node = self.graph.nodes[self.graph.producers[tensor]]
        if node.domain != SWATH_DOMAIN or not node.name.endswith("/partial"):
            return {}
        bounds: list[list[int]] = []
        for bound in node.attributes["split_bounds"]:
            if bound == 0:
                bounds.append([])
            bounds[-1].append(bound)
        return {
            axis: tuple(of_axis)
            for axis, of_axis in zip(node.attributes["split_axes"], bounds, strict=True)
        }

    def _lie_with_data(self, tensor: str, mode: Mode) -> bool:
        """Whether who has a part of the data makes the partial results of it: in any mode that cuts
        the data where they are cut."""
        splits = self._split_axes(tensor)
        return bool(splits) and (mode != "channels" or _PREFERRED[mode][0] in splits)

    def _partials(self, tensor: str, split: Split) -> tuple[Region | None, ...]:
        """Each entry is made by the device that makes its part of the data."""
        data = self.graph.nodes[self.graph.producers[tensor]].inputs[0]
        whole = self.graph.tensors[tensor].whole
        splits = self._split_axes(tensor)
        by_shares = self._along(tensor, 0, split_by_shares(whole.shape[0], split.weights))
        if data not in self.graph.producers:
            return by_shares
        regions: list[Region | None] = []
        made = 0
        for held in self.of(data, split):
            region: Region | None = None if held is None else whole
            for leading, (axis, bounds) in enumerate(splits.items()):
                if region is None or held is None:
                    break
                lo, hi = held[axis]
                entries = [
                    entry
                    for entry in range(len(bounds) - 1)
                    if lo <= bounds[entry] and bounds[entry + 1] <= hi
                ]
                region = region.replace(leading, (entries[0], entries[-1] + 1)) if entries else None
            regions.append(region)
            made += 0 if region is None else region.size
        return tuple(regions) if made == whole.size else by_shares
