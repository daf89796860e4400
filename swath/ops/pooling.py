"""Pooling with a sliding window: rows, columns, batch and channels."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from swath.ops.region import Region
from swath.ops.rule import Demand, Operator, Regions, register
from swath.ops.split_rule import SplitRule, first_region, whole_inputs
from swath.ops.window import Window, WindowTile, explicit_padding, tile_window, windows


@register("MaxPool", "AveragePool", "LpPool")
class Pool(SplitRule):
    """The operator keeps its kernel and modes; a part is padded at true borders only.

    With ``ceil_mode`` the last window may hang over the padded map. It is the last one of the last
    part too, which reaches to the end of the map and so hangs over by as much.
    """

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        if len(wanted) > 1 and wanted[1] is not None:
            return None  # Indices of a MaxPool count positions in the whole map.
        region = first_region(wanted)
        tiles = self.window_tiles(op, region)
        if tiles is None:
            return None
        made = Region([*region[:2], *(tile.outputs for tile in tiles)])
        data = Region([*region[:2], *(tile.inputs for tile in tiles)])
        outputs = (made, *(None for _ in wanted[1:]))
        return Demand(outputs, (data, *whole_inputs(op)[1:]))

    def window_tiles(self, op: Operator, region: Region) -> tuple[WindowTile, ...] | None:
        """None where the window's arithmetic does not give the operator's own extents."""
        out_shape = op.output_shape()
        found = windows(op, op.integers("kernel_shape"), op.input_shape())
        ceil = bool(op.attribute("ceil_mode", 0))
        if tuple(window.outputs(ceil) for window in found) != out_shape[2:]:
            return None
        if op.attribute("auto_pad", "NOTSET").startswith("SAME") and any(map(_is_odd, found)):
            return None
        return tuple(
            tile_window(window, region[axis], out_shape[axis])
            for axis, window in enumerate(found, start=2)
        )

    def sliced_attributes(self, op: Operator, demand: Demand) -> Mapping[str, Any]:
        tiles = self.window_tiles(op, first_region(demand.outputs))
        assert tiles is not None
        return {**op.attributes, **explicit_padding(tiles)}

    def flops(self, op: Operator, outputs: Regions) -> int:
        """One operation per tap."""
        return first_region(outputs).size * prod(op.integers("kernel_shape"))


def _is_odd(window: Window) -> bool:
    """Whether ONNX Runtime reads SAME in its own way: it leaves dilation out of the account, and
    where nothing is to be padded it shifts the windows inwards."""
    reach = (-(-window.extent // window.stride) - 1) * window.stride + window.span
    return window.dilation > 1 or reach < window.extent


@register("QLinearAveragePool", domain="com.microsoft")
class QLinearPool(Pool):
    """Inputs: x, then the scales and zero points of x and y."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        return None if op.attribute("channels_last", 0) else super().split(op, wanted)
