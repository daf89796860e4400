"""Normalisations: parameters are cut to the channels of a part, statistics need whole axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swath.ops.elementwise import broadcast_region
from swath.ops.emitting import emit_crop
from swath.ops.region import Region
from swath.ops.rule import Demand, Emitter, Operator, Regions, register
from swath.ops.split_rule import SplitRule, first_region, hull_of, widen


@register("BatchNormalization")
class BatchNormalization(SplitRule):
    """At inference: a scale and a shift per channel."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        training = op.attribute("training_mode", 0) or sum(map(bool, op.outputs)) > 1
        if training or op.attribute("spatial", 1) == 0 or len(region) < 2:
            return None
        return Demand((region,), (region, *[Region([region[1]])] * 4))

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        made = emitter.node(op.type, inputs, attributes=op.attributes)
        return (*made, *[None] * (len(op.outputs) - 1))

    def flops(self, op: Operator, outputs: Regions) -> int:
        return 2 * super().flops(op, outputs)


@register("LRN")
class LRN(SplitRule):
    """Divides by a power of the sum of squares over neighbouring channels.

    A part of the channels is computed on a slab with its neighbours, which are then cut off. ONNX
    Runtime keeps a running sum: each channel adds its last neighbour to the sum of the channel
    before and takes the first one away, so that a rounding, a NaN or an infinity reaches all later
    channels. The slab therefore starts with the first channel of all.
    """

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        behind = int(op.attributes["size"]) // 2
        slab = 0, min(op.input_shape()[1], region[1][1] + behind)
        return Demand((region,), (region.replace(1, slab),))

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        slab = demand.inputs[0]
        assert slab is not None
        (name,) = emitter.node(op.type, inputs, attributes=op.attributes)
        return (emit_crop(emitter, name, slab, first_region(demand.outputs)),)

    def flops(self, op: Operator, outputs: Regions) -> int:
        """A multiply-add per neighbour, a power, and the scaling; of the whole slab."""
        slab = self.demand(op, outputs).inputs[0]
        assert slab is not None
        return (2 * int(op.attributes["size"]) + 3) * slab.size


@register("InstanceNormalization")
class InstanceNormalization(SplitRule):
    """Statistics of each map: batch and channels can be split."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        made = widen(region, op.input_shape(), range(2, len(region)))
        channels = Region([region[1]])
        return Demand((made,), (made, channels, channels))

    def flops(self, op: Operator, outputs: Regions) -> int:
        return 8 * super().flops(op, outputs)


@register("GroupNormalization")
class GroupNormalization(SplitRule):
    """Statistics of each group of channels: batch and whole groups can be split.

    Scale and bias have an entry per group before opset 21, per channel since.
    """

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        shape = op.input_shape()
        per_group = shape[1] // int(op.attributes["num_groups"])
        groups = (region[1][0] // per_group, -(-region[1][1] // per_group))
        channels = (groups[0] * per_group, groups[1] * per_group)
        made = widen(region, shape, range(2, len(region))).replace(1, channels)
        parameters = Region([groups if op.opset < 21 else channels])
        return Demand((made,), (made, parameters, parameters))

    def sliced_attributes(self, op: Operator, demand: Demand) -> Mapping[str, Any]:
        per_group = op.input_shape()[1] // int(op.attributes["num_groups"])
        channels = first_region(demand.outputs).shape[1]
        return {**op.attributes, "num_groups": channels // per_group}

    def flops(self, op: Operator, outputs: Regions) -> int:
        return 8 * super().flops(op, outputs)


@register("LayerNormalization", "RMSNormalization")
class LayerNormalization(SplitRule):
    """Statistics of all axes from ``axis`` on. Further outputs (the mean and the inverse standard
    deviation) have extent 1 there."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        shape = op.input_shape()
        rank = len(shape)
        axis = int(op.attribute("axis", -1)) % rank
        leading = hull_of(
            tuple(None if region is None else Region(region[:axis]) for region in wanted)
        )
        data = Region([*leading, *((0, extent) for extent in shape[axis:])])
        statistics = Region([*leading, *[(0, 1)] * (rank - axis)])
        made = (data, statistics, statistics)
        outputs = tuple(
            None if region is None else full for region, full in zip(wanted, made, strict=False)
        )
        parameters = [
            None if tensor is None else broadcast_region(data, tensor) for tensor in op.inputs[1:]
        ]
        return Demand(outputs, (data, *parameters))

    def flops(self, op: Operator, outputs: Regions) -> int:
        data = self.demand(op, outputs).inputs[0]
        assert data is not None
        return 8 * data.size
