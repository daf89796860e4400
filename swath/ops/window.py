"""Sliding windows: the one piece of arithmetic behind convolutions and pools.

Output index ``i`` of an axis sees input indices ``i*stride - pad_begin + dilation*t`` for
``t = 0 .. kernel-1``. A tile keeps padding only where it touches a true border of the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from swath.ops.region import Interval
from swath.ops.rule import Operator


@dataclass(frozen=True, slots=True)
class Window:
    """The sliding window on one axis of a map of ``extent`` entries."""

    extent: int
    kernel: int
    stride: int
    dilation: int
    pad_begin: int
    pad_end: int

    @property
    def span(self) -> int:
        """Input entries between the first and the last tap, both included."""
        return self.dilation * (self.kernel - 1) + 1

    def outputs(self, ceil: bool = False) -> int:
        """How many outputs there are: with ``ceil`` the last window may hang over the padding, but
        it has to start before the padding behind the map."""
        steps = self.extent + self.pad_begin + self.pad_end - self.span
        if not ceil:
            return steps // self.stride + 1
        count = -(-steps // self.stride) + 1
        return count - ((count - 1) * self.stride >= self.extent + self.pad_begin)

    def seen(self, outputs: Interval) -> Interval:
        """Input interval that the windows of these outputs reach, in unclipped coordinates."""
        lo, hi = outputs
        return lo * self.stride - self.pad_begin, (
            hi - 1
        ) * self.stride - self.pad_begin + self.span


@dataclass(frozen=True, slots=True)
class WindowTile:
    """One axis of a tile: outputs made, inputs read, and the padding that is left."""

    outputs: Interval
    inputs: Interval
    pad_begin: int
    pad_end: int
    overhangs: bool
    """The last window reaches beyond the padding (only with ``ceil_mode``)."""


def tile_window(window: Window, outputs: Interval, extent_out: int) -> WindowTile:
    """What the outputs (of ``extent_out`` in all) take on one axis.

    Outputs whose windows lie in the padding alone cannot be made from nothing, so they are made
    together with their nearest neighbour that sees the map; where nobody sees it, all are made.
    """
    lo, hi = outputs
    while True:
        seen_lo, seen_hi = window.seen((lo, hi))
        if max(0, seen_lo) < min(window.extent, seen_hi):
            break
        if lo == 0 and hi == extent_out:
            break
        if seen_hi <= 0 and hi < extent_out:
            hi += 1
        elif lo > 0:
            lo -= 1
        else:
            hi += 1
    if hi == extent_out:
        # What a floor division leaves over at the end changes nothing: reading it too lets the
        # last tile take its input as it is instead of cropping it first.
        need = (max(0, min(seen_lo, window.extent - 1)), window.extent)
        pad_end = window.pad_end
    else:
        need = (max(0, seen_lo), min(window.extent, seen_hi))
        pad_end = max(0, seen_hi - window.extent)
    overhangs = seen_hi - window.extent > window.pad_end
    return WindowTile((lo, hi), need, max(0, -seen_lo), min(pad_end, window.pad_end), overhangs)


def windows(op: Operator, kernel: Sequence[int], input_shape: Sequence[int]) -> tuple[Window, ...]:
    """The window of every spatial axis, with ``auto_pad`` made explicit."""
    rank = len(kernel)
    extents = input_shape[2:]
    strides = op.integers("strides") or (1,) * rank
    dilations = op.integers("dilations") or (1,) * rank
    pads = op.integers("pads") or (0,) * (2 * rank)
    auto_pad = op.attribute("auto_pad", "NOTSET")
    result = []
    for axis in range(rank):
        begin, end = pads[axis], pads[axis + rank]
        if auto_pad == "VALID":
            begin = end = 0
        elif auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            outputs = -(-extents[axis] // strides[axis])
            span = dilations[axis] * (kernel[axis] - 1) + 1
            total = max(0, (outputs - 1) * strides[axis] + span - extents[axis])
            begin = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            end = total - begin
        result.append(
            Window(extents[axis], kernel[axis], strides[axis], dilations[axis], begin, end)
        )
    return tuple(result)


class Padded(Protocol):
    """One axis of a tile that pads its input."""

    @property
    def pad_begin(self) -> int: ...

    @property
    def pad_end(self) -> int: ...


def explicit_padding(tiles: Sequence[Padded]) -> dict[str, object]:
    """The attributes that give a tile just the padding of its own borders."""
    return {
        "pads": [tile.pad_begin for tile in tiles] + [tile.pad_end for tile in tiles],
        "auto_pad": None,
    }
