"""Which input entries each output entry of a resized axis reads, and with which weights.

Computed the way ONNX Runtime's CPU kernels do it, in float32 and in their order, because a
coordinate next to a rounding border decides which entry is read. Where they and the ONNX text
disagree, the kernels count: an axis whose scale is exactly 1 keeps its coordinates whatever the
mode says, and nothing at all is interpolated where no extent changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from swath.ops.region import Interval

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class ResizedAxis:
    """One axis of a Resize. ``scale`` is the float32 that the kernel works with.

    ``mode`` is nearest, linear, cubic, or copy (the kernel does not interpolate this axis).
    """

    mode: str
    extent: int
    resized: int
    scale: float = 1.0
    coordinates: str = "half_pixel"
    nearest_mode: str = "round_prefer_floor"
    cubic_coefficient: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    roi: tuple[float, float] = (0.0, 1.0)

    @property
    def shifts(self) -> bool:
        """Whether coordinates do not depend on the extents, so that a slab may be resized alone."""
        return self.coordinates not in ("align_corners", "tf_crop_and_resize")


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """Per output entry: ``indices`` read (outputs x taps), their ``weights`` (None: one tap, taken
    as it is), and whether it is ``outside`` and gets the extrapolation value instead."""

    indices: Array
    weights: Array | None
    outside: Array

    def reach(self, outputs: Interval) -> Interval:
        """The input interval that these outputs read (one entry where they read none)."""
        lo, hi = outputs
        inside = self.indices[lo:hi][~self.outside[lo:hi]]
        if not inside.size:
            return 0, 1
        return int(inside.min()), int(inside.max()) + 1


@lru_cache(maxsize=1024)
def taps_of(axis: ResizedAxis) -> Taps:
    """The taps of all the outputs of an axis."""
    if axis.mode == "copy":
        indices = np.arange(axis.resized)[:, None]
        return Taps(indices, None, np.zeros(axis.resized, bool))
    original = _original_coordinates(axis)
    outside = np.zeros(axis.resized, bool)
    if axis.coordinates == "tf_crop_and_resize":
        outside = (original < 0) | (original > np.float32(axis.extent - 1))
    if axis.antialias and axis.extent == axis.resized:
        return Taps(np.arange(axis.resized)[:, None], None, outside)
    if axis.mode == "nearest":
        indices = np.clip(_nearest(axis, original), 0, axis.extent - 1)[:, None]
        return Taps(indices, None, outside)
    if axis.antialias:
        return Taps(*_antialiased(axis, original), outside)
    if axis.mode == "linear":
        return Taps(*_linear(axis, original), outside)
    return Taps(*_cubic(axis, original), outside)


def _original_coordinates(axis: ResizedAxis) -> Array:
    one, half = np.float32(1), np.float32(0.5)
    scale, extent, resized = (
        np.float32(value) for value in (axis.scale, axis.extent, axis.resized)
    )
    outputs = np.arange(axis.resized, dtype=np.float32)
    if scale == one:
        return outputs
    match axis.coordinates:
        case "asymmetric":
            return outputs / scale
        case "tf_half_pixel_for_nn":
            return (outputs + half) / scale
        case "align_corners":
            return outputs * (extent - one) / (resized - one) if axis.resized > 1 else outputs * 0
        case "tf_crop_and_resize":
            start, end = (np.float32(value) for value in axis.roi)
            if axis.resized > 1:
                return start * (extent - one) + outputs * (end - start) * (extent - one) / (
                    resized - one
                )
            return np.array([0.5 * float(start + end) * float(extent - one)], np.float32)
        case "half_pixel_symmetric":
            adjustment = resized / (scale * extent)
            offset = (extent / np.float32(2)) * (one - adjustment)
            exact = float(offset) + (outputs.astype(np.float64) + 0.5) / float(scale) - 0.5
            return exact.astype(np.float32)
        case "pytorch_half_pixel" if axis.resized == 1:
            return outputs * 0
        case _:
            return (outputs + half) / scale - half


def _nearest(axis: ResizedAxis, original: Array) -> Array:
    match axis.nearest_mode:
        case "simple":
            rounded = np.ceil(original) if axis.scale < 1 else np.trunc(original)
        case "floor":
            rounded = np.floor(original)
        case "ceil":
            rounded = np.ceil(original)
        case "round_prefer_ceil":
            rounded = np.where(_is_halfway(original), np.ceil(original), _round_away(original))
        case _:
            rounded = np.where(_is_halfway(original), np.floor(original), _round_away(original))
    indices: Array = rounded.astype(np.int64)
    return indices


def _is_halfway(values: Array) -> Array:
    """Halves, and what float32 makes of them: the kernel allows for a millionth."""
    halfway: Array = np.abs(values - np.floor(values) - np.float32(0.5)) < 1e-6
    return halfway


def _round_away(values: Array) -> Array:
    """C's ``round``: halves go away from zero (NumPy's go to even)."""
    rest = values - np.trunc(values)
    away: Array = np.trunc(values) + np.sign(values) * (np.abs(rest) >= np.float32(0.5))
    return away


def _linear(axis: ResizedAxis, original: Array) -> tuple[Array, Array]:
    last = axis.extent - 1
    clamped = np.clip(original, np.float32(0), np.float32(last))
    low = np.minimum(clamped.astype(np.int64), last)
    high = np.minimum(low + 1, last)
    to_high = np.abs(clamped - low.astype(np.float32))
    to_low = np.abs(clamped - high.astype(np.float32))
    same = low == high
    to_high[same] = to_low[same] = 0.5
    return np.stack([low, high], 1), np.stack([to_low, to_high], 1)


def _cubic(axis: ResizedAxis, original: Array) -> tuple[Array, Array]:
    """R. G. Keys, "Cubic convolution interpolation for digital image processing" (1981)."""
    floor = np.floor(original)
    a = np.float32(axis.cubic_coefficient)
    s = original - floor
    one, two = np.float32(1), np.float32(2)
    a4, a5, a8 = (np.float32(factor) * a for factor in (4, 5, 8))
    a_and_2, a_and_3 = a + two, a + np.float32(3)
    weights = np.stack(
        [
            ((a * (s + one) - a5) * (s + one) + a8) * (s + one) - a4,
            (a_and_2 * s - a_and_3) * s * s + one,
            (a_and_2 * (one - s) - a_and_3) * (one - s) * (one - s) + one,
            ((a * (two - s) - a5) * (two - s) + a8) * (two - s) - a4,
        ],
        1,
    )
    indices = floor.astype(np.int64)[:, None] + np.arange(-1, 3)
    if axis.exclude_outside:
        weights[(indices < 0) | (indices >= axis.extent)] = 0
        weights /= _total(weights)
    return np.clip(indices, 0, axis.extent - 1), weights


def _total(weights: Array) -> Array:
    """The sum of each output's weights, or 1 where there are none."""
    total: Array = weights.sum(1, keepdims=True, dtype=np.float32)
    total[total == 0] = 1
    return total


def _antialiased(axis: ResizedAxis, original: Array) -> tuple[Array, Array]:
    """Filters that widen as the scale shrinks; entries beyond the border lend their weight to it
    (or, excluded, none). Every output gets as many taps; what it lacks has no weight."""
    one, half = np.float32(1), np.float32(0.5)
    scale = one / np.float32(axis.scale)
    support = half * np.float32(2 if axis.mode == "linear" else 4) * max(scale, one)
    window = int(np.ceil(support)) * 2 + 1
    shrink = one / scale if scale >= one else one
    center = half + original
    first = np.floor(center - support + half).astype(np.int64)
    end = np.floor(center + support + half).astype(np.int64)
    end = first + np.clip(end - first, 0, window)
    places = first[:, None] + np.arange(window)
    distance = (places.astype(np.float32) - center[:, None] + half) * shrink
    weights = _filter(axis, np.abs(distance))
    weights[places >= end[:, None]] = 0
    outside = (places < 0) | (places >= axis.extent)
    if axis.exclude_outside:
        weights[outside] = 0
    clipped = np.clip(places, 0, axis.extent - 1)
    # What lies beyond the window's own end must not be read: take its last entry instead.
    clipped = np.clip(clipped, clipped[:, :1], np.clip(end - 1, 0, axis.extent - 1)[:, None])
    return clipped, weights / _total(weights)


def _filter(axis: ResizedAxis, x: Array) -> Array:
    one, two = np.float32(1), np.float32(2)
    if axis.mode == "linear":
        return np.where(x < one, one - x, np.float32(0))
    a = np.float32(axis.cubic_coefficient)
    near = ((a + two) * x - (a + np.float32(3))) * x * x + one
    far = (((x - np.float32(5)) * x + np.float32(8)) * x - np.float32(4)) * a
    return np.where(x < one, near, np.where(x < two, far, np.float32(0)))
