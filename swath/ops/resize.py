"""Resize and Upsample: any mode, coordinates and scale, along any axis.

Every axis has a table of taps (`swath.ops.taps`); a tile needs the hull of its outputs' taps. Two
ways to make it:

* A slab of the input, resized by the operator itself and cropped, where the slab's own table is the
  wanted part of the whole table to the last bit (so: where the scale puts the slab's border on an
  output, and coordinates do not depend on the extents).
* Gather, and for linear and cubic a weighted sum of Gathers, axis by axis. The order of the sums
  then differs from the kernel's, by some 3e-7 of the largest value. Only for floats; other types
  are interpolated whole on the axes where no slab fits.

Nearest is equal to the last bit either way. Whatever the kernel reads is read, weight zero or not,
so that a NaN spreads as far (an infinity under an antialiasing filter may become a NaN here).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, prod

import numpy as np

from swath.ops.emitting import emit_crop, emit_gather
from swath.ops.region import Interval, Region
from swath.ops.rule import Demand, Emitter, Operator, Regions, register
from swath.ops.split_rule import SplitRule, first_region
from swath.ops.taps import ResizedAxis, taps_of

_FURTHEST = 4
"""How far a slab may reach beyond the entries it needs, to begin and end where an output does."""


@dataclass(frozen=True, slots=True)
class Slab:
    """One axis of a tile: inputs read; the slab's resized extent and its first output's index."""

    inputs: Interval
    extent: int
    first: int

    @property
    def made(self) -> Interval:
        return self.first, self.first + self.extent


@register("Resize", "Upsample")
class Resize(SplitRule):
    """Inputs: the map, and (by version) roi, scales, sizes, which must be constants to split."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        axes = resized_axes(op)
        if axes is None:
            return None
        whole = Region.whole(op.output_shape())
        region = _exactly_made(op, axes, first_region(wanted))
        if region == whole:
            return None
        slabs = _native_slabs(axes, region)
        data = Region(
            interval if axis.mode == "copy" else taps_of(axis).reach(interval)
            for axis, interval in zip(axes, region, strict=True)
        )
        if slabs is not None:
            data = Region(slab.inputs for slab in slabs)
        return Demand((region,), (data, *(None for _ in op.inputs[1:])))

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        made, data = first_region(demand.outputs), first_region(demand.inputs)
        axes, name = resized_axes(op), inputs[0]
        assert axes is not None
        assert name is not None
        if all(axis.mode == "copy" for axis in axes):
            return emitter.node("Identity", [name])
        slabs = _native_slabs(axes, made)
        if slabs is None:
            return (_emit_gathers(op, axes, name, data, made, emitter),)
        (name,) = emitter.node(
            op.type,
            [name, *_native_inputs(op, axes, slabs, emitter)],
            attributes={**op.attributes, "axes": None, "keep_aspect_ratio_policy": None},
        )
        return (emit_crop(emitter, name, Region(slab.made for slab in slabs), made),)

    def flops(self, op: Operator, outputs: Regions) -> int:
        made = first_region(outputs)
        axes = resized_axes(op)
        if axes is None:
            return made.size
        taps = [int(taps_of(axis).indices.shape[1]) for axis in axes if axis.mode != "copy"]
        if all(count == 1 for count in taps):
            return made.size
        return 2 * made.size * (sum(taps) if axes[0].antialias else prod(taps))


def _exactly_made(op: Operator, axes: Sequence[ResizedAxis], region: Region) -> Region:
    """The region itself, or a larger one where parts of it cannot be made exactly."""
    is_float = op.input(0).dtype in ("float32", "float64")
    if is_float or op.attribute("mode", "nearest") == "nearest":
        return region
    for number, (axis, interval) in enumerate(zip(axes, region, strict=True)):
        whole = (0, axis.resized)
        if axis.mode != "copy" and interval != whole and _slab(axis, interval) is None:
            region = region.replace(number, whole)
    return region if _native_slabs(axes, region) else Region.whole(op.output_shape())


# What the operator says of its axes


def resized_axes(op: Operator) -> tuple[ResizedAxis, ...] | None:
    """Every axis of the map; None where scales or sizes are not constants or not understood."""
    shape, resized = op.input_shape(), op.output_shape()
    found = _scales(op)
    if found is None or len(found[0]) != len(shape) or len(resized) != len(shape):
        return None
    scales, computed = found
    if computed != resized:
        return None
    mode = op.attribute("mode", "nearest")
    versioned = op.type == "Resize" and op.opset > 10
    coordinates = (
        op.attribute("coordinate_transformation_mode", "half_pixel") if versioned else "asymmetric"
    )
    roi = _roi(op, len(shape)) if coordinates == "tf_crop_and_resize" else None
    if coordinates == "tf_crop_and_resize" and roi is None:
        return None
    interpolated = _interpolated_axes(mode, scales)
    if interpolated is None:
        return None
    channels_last = mode == "cubic" and len(shape) == 4 and interpolated == (1, 2)
    common = ResizedAxis(
        mode,
        0,
        0,
        coordinates=coordinates,
        nearest_mode=(
            op.attribute("nearest_mode", "round_prefer_floor") if versioned else "simple"
        ),
        cubic_coefficient=float(op.attribute("cubic_coeff_a", -0.75)),
        exclude_outside=bool(op.attribute("exclude_outside", 0)),
        # The kernel for channels in the last axis filters even where it need not.
        antialias=mode != "nearest" and (bool(op.attribute("antialias", 0)) or channels_last),
    )
    axes = []
    for number, (extent, extent_out, scale) in enumerate(zip(shape, resized, scales, strict=True)):
        copied = (
            resized == shape
            or number not in interpolated
            or (mode == "nearest" and scale == 1 and len(shape) > 1)
        )
        axes.append(
            replace(
                common,
                mode="copy" if copied else mode,
                extent=extent,
                resized=extent_out,
                scale=scale,
                roi=(0.0, 1.0) if roi is None else roi[number],
            )
        )
    return tuple(axes)


def _interpolated_axes(mode: str, scales: Sequence[float]) -> tuple[int, ...] | None:
    """The axes that the kernel interpolates, also where their scale is 1 (a neighbour's weight is
    then zero, but it is read)."""
    rank = len(scales)
    if mode == "nearest":
        return tuple(range(rank))
    if mode not in ("linear", "cubic") or (mode == "cubic" and rank not in (2, 4)):
        return None
    if rank == 4:
        return (2, 3) if scales[:2] == (1, 1) else (1, 2)
    return {2: (0, 1), 3: (0, 1, 2), 5: (2, 3, 4)}.get(rank)


def _scales(op: Operator) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    """The float32 scale of every axis, and the extents that come of them or were given."""
    shape = op.input_shape()
    axes = [axis % len(shape) for axis in op.attribute("axes") or range(len(shape))]
    versioned = op.type == "Resize" and op.opset > 10
    given = op.value(2 if versioned else 1)
    if given is not None and len(given):
        if len(given) != len(axes):
            return None
        scales = [1.0] * len(shape)
        for axis, scale in zip(axes, given, strict=True):
            scales[axis] = float(np.float32(scale))
        return tuple(scales), tuple(map(_resized, scales, shape))
    sizes = op.value(3) if versioned else None
    if sizes is None or len(sizes) != len(axes):
        return None
    resized = list(shape)
    for axis, size in zip(axes, sizes, strict=True):
        resized[axis] = int(size)
    ratios = [
        np.float32(to) / np.float32(extent) for to, extent in zip(resized, shape, strict=True)
    ]
    policy = op.attribute("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        chosen = (min if policy == "not_larger" else max)(ratios[axis] for axis in axes)
        for axis in range(len(shape)):
            ratios[axis] = chosen if axis in axes else np.float32(1)
            exact = float(ratios[axis] * np.float32(shape[axis]))
            resized[axis] = int(np.floor(exact + 0.5)) if axis in axes else shape[axis]
    return tuple(float(ratio) for ratio in ratios), tuple(resized)


def _resized(scale: float, extent: int) -> int:
    return int(np.float32(scale) * np.float32(extent))


def _roi(op: Operator, rank: int) -> list[tuple[float, float]] | None:
    """(start, end) of every axis, in parts of its extent."""
    given = op.value(1)
    axes = [axis % rank for axis in op.attribute("axes") or range(rank)]
    if given is None or len(given) != 2 * len(axes):
        return None
    roi = [(0.0, 1.0)] * rank
    for number, axis in enumerate(axes):
        roi[axis] = float(given[number]), float(given[number + len(axes)])
    return roi


# A slab that the operator itself resizes


def _native_slabs(axes: Sequence[ResizedAxis], region: Region) -> tuple[Slab, ...] | None:
    """Slabs from which the operator makes the region (or more) exactly; None if none do."""
    slabs = []
    for axis, interval in zip(axes, region, strict=True):
        if axis.mode == "copy":
            slab: Slab | None = Slab(interval, interval[1] - interval[0], interval[0])
        elif interval == (0, axis.resized):
            slab = Slab((0, axis.extent), axis.resized, 0)
        else:
            slab = _slab(axis, interval)
        if slab is None:
            return None
        slabs.append(slab)
    copied = all(axis.mode == "copy" for axis in axes)
    unchanged = all(slab.inputs[1] - slab.inputs[0] == slab.extent for slab in slabs)
    if unchanged and not copied:
        return None  # The kernel copies where no extent changes, whatever the scales say.
    if _fit_scales(axes, slabs) or _fit_sizes(axes, slabs):
        return tuple(slabs)
    return None


def _fit_scales(axes: Sequence[ResizedAxis], slabs: Sequence[Slab]) -> bool:
    """Whether the scales alone lead to the slabs' extents, for the kernel (in float32) as well as
    for shape inference (in more)."""
    return all(
        _resized(axis.scale, extent) == int(axis.scale * extent) == slab.extent
        for axis, slab in zip(axes, slabs, strict=True)
        for extent in (slab.inputs[1] - slab.inputs[0],)
    )


def _fit_sizes(axes: Sequence[ResizedAxis], slabs: Sequence[Slab]) -> bool:
    """Whether the slabs' extents alone lead to the scales."""
    return all(
        float(np.float32(slab.extent) / np.float32(slab.inputs[1] - slab.inputs[0])) == axis.scale
        for axis, slab in zip(axes, slabs, strict=True)
    )


@lru_cache(maxsize=4096)
def _slab(axis: ResizedAxis, outputs: Interval) -> Slab | None:
    """The smallest slab whose own taps are those of these outputs; None if there is none."""
    if not axis.shifts:
        return None
    whole = taps_of(axis)
    lo, hi = outputs
    begin, end = whole.reach(outputs)
    for reach in range(2 * _FURTHEST + 1):
        for before in range(max(0, reach - _FURTHEST), min(reach, _FURTHEST) + 1):
            start, stop = begin - before, end + reach - before
            first = round(start * axis.scale)
            aligned = start >= 0 and stop <= axis.extent and first <= lo
            if not aligned or abs(first - start * axis.scale) > 1e-3:
                continue
            extent = _resized(axis.scale, stop - start)
            if stop == axis.extent:
                # The last slab may owe its last output to a scale that was rounded down.
                extent = min(max(extent, ceil(hi - first)), axis.resized - first)
            if first + extent < hi or extent < 1:
                continue
            part = taps_of(replace(axis, extent=stop - start, resized=extent))
            place = slice(lo - first, hi - first)
            same_weights = (
                whole.weights is None
                if part.weights is None
                else whole.weights is not None
                and np.array_equal(part.weights[place], whole.weights[lo:hi])
            )
            if same_weights and np.array_equal(part.indices[place] + start, whole.indices[lo:hi]):
                return Slab((start, stop), extent, first)
    return None


def _native_inputs(
    op: Operator, axes: Sequence[ResizedAxis], slabs: Sequence[Slab], emitter: Emitter
) -> list[str | None]:
    scales = emitter.constant(np.array([axis.scale for axis in axes], np.float32))
    if op.type == "Upsample" or op.opset <= 10:
        return [scales]
    empty = emitter.constant(np.zeros(0, np.float32))
    roi = empty
    if axes[0].coordinates == "tf_crop_and_resize":
        bounds = [[axis.roi[side] for axis in axes] for side in (0, 1)]
        roi = emitter.constant(np.array(bounds, np.float32).reshape(-1))
    if _fit_scales(axes, slabs):
        return [roi, scales]
    sizes = emitter.constant(np.array([slab.extent for slab in slabs], np.int64))
    return [roi, empty, sizes]


# Gathers


def _emit_gathers(
    op: Operator,
    axes: Sequence[ResizedAxis],
    source: str,
    data: Region,
    made: Region,
    emitter: Emitter,
) -> str:
    dtype = np.dtype(op.input(0).dtype)
    name = source
    # The axes that shrink most come first, those that grow most last.
    order = sorted(
        (number for number, axis in enumerate(axes) if axis.mode != "copy"),
        key=lambda number: made.shape[number] / data.shape[number],
    )
    for number in order:
        (lo, hi), (start, stop) = made[number], data[number]
        taps = taps_of(axes[number])
        indices = np.clip(taps.indices[lo:hi] - start, 0, stop - start - 1)
        if taps.weights is None:
            if not np.array_equal(indices[:, 0], np.arange(stop - start)):
                name = emit_gather(emitter, name, indices[:, 0], number)
            continue
        weights = taps.weights[lo:hi].astype(dtype)
        shape = (hi - lo, *([1] * (len(axes) - number - 1)))
        terms = []
        for tap in range(indices.shape[1]):
            term = emit_gather(emitter, name, indices[:, tap], number)
            weight = emitter.constant(weights[:, tap].reshape(shape))
            terms.append(emitter.node("Mul", [term, weight])[0])
        name = terms[0]
        for term in terms[1:]:
            (name,) = emitter.node("Add", [name, term])
    if name == source:
        (name,) = emitter.node("Identity", [name])
    value = np.array(op.attribute("extrapolation_value", 0.0)).astype(dtype)
    for number in order:
        lo, hi = made[number]
        outside = taps_of(axes[number]).outside[lo:hi]
        if outside.any():
            shape = (hi - lo, *([1] * (len(axes) - number - 1)))
            mask = emitter.constant(outside.reshape(shape))
            (name,) = emitter.node("Where", [mask, emitter.constant(value), name])
    return name
