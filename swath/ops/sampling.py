"""Operators that sample a map anywhere: the map is taken whole, what samples it can be split."""

from __future__ import annotations

from swath.ops.region import Region
from swath.ops.rule import Demand, Operator, Regions, register
from swath.ops.split_rule import SplitRule, first_region, whole_inputs


@register("GridSample")
class GridSample(SplitRule):
    """Inputs: X (N, C, spatial) and a grid (N, output spatial, coordinates)."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        data = Region([*region[:2], *((0, extent) for extent in op.input_shape()[2:])])
        grid = Region([region[0], *region[2:], (0, op.input_shape(1)[-1])])
        return Demand((region,), (data, grid))


@register("RoiAlign", "MaxRoiPool")
class RegionsOfInterest(SplitRule):
    """Inputs: X (N, C, H, W), regions of interest, and (RoiAlign) the image of each."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        shape = op.output_shape()
        rois, channels, *_ = first_region(wanted)
        made = Region([rois, channels, *((0, extent) for extent in shape[2:])])
        needed = whole_inputs(op)
        needed[0] = Region(
            channels if axis == 1 else (0, extent) for axis, extent in enumerate(op.input_shape())
        )
        for index in range(1, len(op.inputs)):
            needed[index] = Region([rois, *((0, n) for n in op.input_shape(index)[1:])])
        return Demand((made,), tuple(needed))
