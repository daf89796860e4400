"""Convolutions, plain, integer and transposed: rows, columns, batch and output channels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from swath.ops.region import Interval, Region
from swath.ops.rule import Demand, Operator, Regions, register
from swath.ops.split_rule import SplitRule, first_region, per_entry
from swath.ops.window import Window, WindowTile, explicit_padding, tile_window, windows


def channel_groups(outputs: Interval, out_channels: int, groups: int) -> tuple[Interval, Interval]:
    """(output channels to make, groups they lie in) for the output channels asked.

    Part of one group is a convolution of one group; what touches several groups takes them whole,
    because a grouped convolution wants groups of equal size.
    """
    per_group = out_channels // groups
    lo, hi = outputs
    first, last = lo // per_group, -(-hi // per_group)
    if last - first == 1:
        return (lo, hi), (first, last)
    return (first * per_group, last * per_group), (first, last)


class ConvolutionRule(SplitRule):
    """Shared by Conv, QLinearConv and ConvInteger, which differ in where their inputs stand."""

    data_input = 0
    weight_input = 1

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        data_shape = op.input_shape(self.data_input)
        weight_shape = op.input_shape(self.weight_input)
        out_shape = op.output_shape()
        channels, groups = channel_groups(region[1], out_shape[1], self.groups(op))
        tiles = self.window_tiles(op, region)
        if tiles is None:
            return None
        made = Region([region[0], channels, *(tile.outputs for tile in tiles)])
        in_per_group = weight_shape[1]
        data = Region(
            [
                region[0],
                (groups[0] * in_per_group, groups[1] * in_per_group),
                *(tile.inputs for tile in tiles),
            ]
        )
        assert len(data) == len(data_shape)
        weight = Region([channels, *((0, extent) for extent in weight_shape[1:])])
        return Demand((made,), self.input_regions(op, data, weight, channels))

    @abstractmethod
    def input_regions(
        self, op: Operator, data: Region, weight: Region, channels: Interval
    ) -> Regions:
        """The region of every input, where those of the data and the weight are known."""

    def window_tiles(self, op: Operator, region: Region) -> tuple[WindowTile, ...] | None:
        """None where the window's arithmetic does not give the operator's own extents."""
        shape = op.input_shape(self.data_input)
        kernel = op.input_shape(self.weight_input)[2:]
        out_shape = op.output_shape()
        found = windows(op, kernel, shape)
        if tuple(window.outputs() for window in found) != out_shape[2:]:
            return None
        return tuple(
            tile_window(window, region[axis], out_shape[axis])
            for axis, window in enumerate(found, start=2)
        )

    def sliced_attributes(self, op: Operator, demand: Demand) -> Mapping[str, Any]:
        made = first_region(demand.outputs)
        _, (first, last) = channel_groups(made[1], op.output_shape()[1], self.groups(op))
        tiles = self.window_tiles(op, made)
        assert tiles is not None
        return {**op.attributes, **explicit_padding(tiles), "group": last - first}

    def flops(self, op: Operator, outputs: Regions) -> int:
        taps = prod(op.input_shape(self.weight_input)[1:])
        return 2 * first_region(outputs).size * taps

    def groups(self, op: Operator) -> int:
        return int(op.attribute("group", 1))


@register("Conv")
class Conv(ConvolutionRule):
    """``Y[n, m] = sum_c X[n, c] * W[m, c] + B[m]``; a bias costs no extra FLOP by convention."""

    def input_regions(
        self, op: Operator, data: Region, weight: Region, channels: Interval
    ) -> Regions:
        bias = Region([channels]) if op.has_input(2) else None
        return (data, weight, bias)[: len(op.inputs)]


@register("QLinearConv")
class QLinearConv(ConvolutionRule):
    """Inputs: x, its scale and zero point, w, its scale and zero point, y's, and a bias."""

    weight_input = 3

    def input_regions(
        self, op: Operator, data: Region, weight: Region, channels: Interval
    ) -> Regions:
        regions: list[Region | None] = [
            None if tensor is None else tensor.whole for tensor in op.inputs
        ]
        regions[0], regions[3] = data, weight
        for index in (4, 5, 8):
            if index < len(regions):
                regions[index] = per_entry(op, index, channels)
        return tuple(regions)


@register("ConvInteger")
class ConvInteger(ConvolutionRule):
    """Inputs: x, w, and their zero points (w's may be one per output channel)."""

    def input_regions(
        self, op: Operator, data: Region, weight: Region, channels: Interval
    ) -> Regions:
        regions: list[Region | None] = [data, weight]
        if len(op.inputs) > 2:
            regions.append(op.inputs[2].whole if op.inputs[2] is not None else None)
        if len(op.inputs) > 3:
            regions.append(per_entry(op, 3, channels))
        return tuple(regions)


@dataclass(frozen=True, slots=True)
class TransposedTile:
    """One axis of a part of a ConvTranspose: outputs made, inputs read, padding, what is added."""

    outputs: Interval
    inputs: Interval
    pad_begin: int
    pad_end: int
    output_padding: int


def transposed_tile(window: Window, outputs: Interval) -> TransposedTile:
    """What some outputs of a transposed convolution take on one axis.

    ``window`` slides over the output: input ``i`` adds to the outputs ``i*stride - pad_begin +
    dilation*t``. Outputs that nothing adds to are made together with the last one before them that
    something adds to, because padding can cut off no more than a whole window.
    """
    stride, span, extent = window.stride, window.span, window.extent
    lo, hi = outputs
    first = -(-(lo + window.pad_begin - span + 1) // stride)
    # Between the windows (stride > span) lie outputs that nothing adds to: start before them.
    first = max(0, min(first, (lo + window.pad_begin) // stride, extent - 1))
    lo = max(0, min(lo, first * stride + span - 1 - window.pad_begin))
    last = min(extent, (hi - 1 + window.pad_begin) // stride + 1)
    pad_begin = lo + window.pad_begin - first * stride
    rest = (last - 1 - first) * stride + span - pad_begin - (hi - lo)
    return TransposedTile((lo, hi), (first, last), pad_begin, max(0, rest), max(0, -rest))


@register("ConvTranspose")
class ConvTranspose(SplitRule):
    """Every input entry adds its filter to the outputs; weights are (C, M / group, kernel)."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        tiles = self.tiles(op, region)
        if tiles is None:
            return None
        in_channels, per_group = op.input_shape(1)[:2]
        groups = int(op.attribute("group", 1))
        channels, (first, last) = channel_groups(region[1], groups * per_group, groups)
        in_per_group = in_channels // groups
        read = (first * in_per_group, last * in_per_group)
        filters = (0, per_group)
        if last - first == 1:
            filters = channels[0] - first * per_group, channels[1] - first * per_group
        made = Region([region[0], channels, *(tile.outputs for tile in tiles)])
        data = Region([region[0], read, *(tile.inputs for tile in tiles)])
        kernel = [(0, extent) for extent in op.input_shape(1)[2:]]
        bias = Region([channels]) if op.has_input(2) else None
        return Demand((made,), (data, Region([read, filters, *kernel]), bias)[: len(op.inputs)])

    def tiles(self, op: Operator, region: Region) -> tuple[TransposedTile, ...] | None:
        """None where the attributes do not give the operator's own extents."""
        found = _transposed_windows(op)
        if found is None:
            return None
        return tuple(
            transposed_tile(window, interval)
            for window, interval in zip(found, region[2:], strict=True)
        )

    def sliced_attributes(self, op: Operator, demand: Demand) -> Mapping[str, Any]:
        made = first_region(demand.outputs)
        tiles = self.tiles(op, made)
        assert tiles is not None
        groups = int(op.attribute("group", 1))
        _, (first, last) = channel_groups(made[1], op.output_shape()[1], groups)
        return {
            **op.attributes,
            **explicit_padding(tiles),
            "output_padding": [tile.output_padding for tile in tiles],
            "output_shape": None,
            "group": last - first,
        }

    def flops(self, op: Operator, outputs: Regions) -> int:
        """A multiply-add for each tap of each input entry that the part reads its share of."""
        made = first_region(outputs)
        groups = int(op.attribute("group", 1))
        in_channels, _, *kernel = op.input_shape(1)
        taps = prod(kernel) * in_channels // groups
        share = prod(op.input_shape()[2:]) / prod(op.output_shape()[2:])
        return round(2 * taps * made.size * share)


def _transposed_windows(op: Operator) -> tuple[Window, ...] | None:
    """The window of every spatial axis, padding made explicit; None where the operator's extents
    are not what the attributes give."""
    kernel = op.input_shape(1)[2:]
    rank = len(kernel)
    strides = op.integers("strides") or (1,) * rank
    dilations = op.integers("dilations") or (1,) * rank
    added = op.integers("output_padding") or (0,) * rank
    pads = op.integers("pads") or (0,) * (2 * rank)
    auto_pad = op.attribute("auto_pad", "NOTSET")
    from_shape = bool(op.integers("output_shape")) or auto_pad in ("SAME_UPPER", "SAME_LOWER")
    found = []
    for axis, extent in enumerate(op.input_shape()[2:]):
        made = op.output_shape()[axis + 2]
        span = dilations[axis] * (kernel[axis] - 1) + 1
        full = (extent - 1) * strides[axis] + span + added[axis]
        begin, end = pads[axis], pads[axis + rank]
        if from_shape:
            # An output_shape beyond all windows is padded behind, like output_padding does.
            total = max(0, full - made)
            begin = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            end = total - begin
        elif auto_pad == "VALID":
            begin = end = 0
        if (full - begin - end != made and not from_shape) or min(begin, end) < 0:
            return None
        found.append(Window(extent, kernel[axis], strides[axis], dilations[axis], begin, end))
    return tuple(found)
