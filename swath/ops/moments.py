"""Statistics of normalisations as partial results: mean and squared deviations of each part.

A part hands on its mean and M2, the sum of squared deviations from that mean; the parts are joined
by the pairwise formula of T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating formulae and a
pairwise algorithm for computing sample variances" (1979), here for all parts at once:

    mean = sum n_p mean_p / n,    M2 = sum M2_p + sum n_p (mean_p - mean)^2.

No difference of two large sums is taken, so nothing cancels. Both numbers share one tensor, whose
axis in front of the data's own axes has two entries: (mean, M2) of a part, then (mean, 1/std).

ONNX Runtime computes GroupNormalization from E[x^2] - E[x]^2, so where a group's mean is some 50
times its deviation or more, the unsplit operator is off by more than 1e-4 and the parts are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from swath.ops.elementwise import broadcast_region
from swath.ops.emitting import emit_concat, emit_gather, emit_reduce, emit_reshape
from swath.ops.partial import PartialRule
from swath.ops.region import Interval, Region
from swath.ops.rule import (
    SWATH_DOMAIN,
    BaseRule,
    Demand,
    Emitter,
    Operator,
    Regions,
    register,
)
from swath.ops.split_rule import first_region

_BOTH = (0, 2)


def _groups_of(channels: Interval, per_group: int) -> Interval:
    return channels[0] // per_group, -(-channels[1] // per_group)


@register("PartialMoments", domain=SWATH_DOMAIN)
class PartialMoments(PartialRule):
    """Mean and M2 of each part. Attributes: ``axes`` (reduced), ``groups`` (0, or how many groups
    of channels stand in the place of the channels)."""

    def part_demand(
        self, op: Operator, region: Region, parts: Mapping[int, Interval]
    ) -> tuple[Region, Regions]:
        shape = op.input_shape()
        rest = region[1:]
        data = [
            parts.get(axis, (0, shape[axis])) if axis in op.attributes["axes"] else rest[axis]
            for axis in range(len(shape))
        ]
        groups = op.attribute("groups", 0)
        if groups:
            per_group = shape[1] // groups
            data[1] = (rest[1][0] * per_group, rest[1][1] * per_group)
        return Region([_BOTH, *rest]), (Region(data),)

    def emit_part(
        self,
        op: Operator,
        region: Region,
        needed: Regions,
        inputs: Sequence[str | None],
        emitter: Emitter,
    ) -> str:
        (name,) = inputs
        assert name is not None
        axes = op.attributes["axes"]
        if op.attribute("groups", 0):
            name = emit_reshape(emitter, name, [*region.shape[1:3], -1])
            axes = [2]
        mean = emit_reduce(emitter, "ReduceMean", name, axes, keepdims=True)
        (deviation,) = emitter.node("Sub", [name, mean])
        squares = emit_reduce(emitter, "ReduceSumSquare", deviation, axes, keepdims=True)
        shape = (1, *region.shape[1:])
        return emit_concat(
            emitter, [emit_reshape(emitter, part, shape) for part in (mean, squares)], 0
        )

    def flops(self, op: Operator, outputs: Regions) -> int:
        return 4 * first_region(self.demand(op, outputs).inputs).size


@register("CombineMoments", domain=SWATH_DOMAIN)
class CombineMoments(BaseRule):
    """From the moments of the parts to (mean, 1/std) of all. Attributes: ``leading`` (how many
    leading axes), ``counts`` (entries behind each part, in the order of the parts), ``epsilon``."""

    def demand(self, op: Operator, wanted: Regions) -> Demand:
        region = first_region(wanted)
        made = region.replace(0, _BOTH)
        lead = op.input_shape()[: op.attributes["leading"]]
        return Demand((made,), (Region([*((0, extent) for extent in lead), *made]),))

    def emit(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        made = first_region(demand.outputs)
        assert inputs[0] is not None
        dtype = op.input(0).dtype
        leading = op.attributes["leading"]
        lead = op.input_shape()[:leading]
        counts = np.array(op.attributes["counts"], np.float64)
        share = (counts / counts.sum()).reshape(*lead, *([1] * (len(made) - 1)))
        shares = emitter.constant(share.astype(dtype))
        total = emitter.constant(np.array(counts.sum(), dtype))
        epsilon = emitter.constant(np.array(op.attributes["epsilon"], dtype))
        axes = range(leading)

        means, squares = (emit_gather(emitter, inputs[0], which, leading) for which in range(2))
        (weighted,) = emitter.node("Mul", [means, shares])
        mean = emit_reduce(emitter, "ReduceSum", weighted, axes, keepdims=False)
        (apart,) = emitter.node("Sub", [means, mean])
        (apart_squared,) = emitter.node("Mul", [apart, apart])
        (between,) = emitter.node("Mul", [apart_squared, shares])
        (within,) = emitter.node("Div", [squares, total])
        (both,) = emitter.node("Add", [within, between])
        variance = emit_reduce(emitter, "ReduceSum", both, axes, keepdims=False)
        (shifted,) = emitter.node("Add", [variance, epsilon])
        (deviation,) = emitter.node("Sqrt", [shifted])
        (inverse,) = emitter.node("Reciprocal", [deviation])
        shape = (1, *made.shape[1:])
        return (
            emit_concat(
                emitter, [emit_reshape(emitter, part, shape) for part in (mean, inverse)], 0
            ),
        )

    def flops(self, op: Operator, outputs: Regions) -> int:
        made = first_region(outputs)
        return 8 * len(op.attributes["counts"]) * made.size // 2


@register("ApplyMoments", domain=SWATH_DOMAIN)
class ApplyMoments(BaseRule):
    """``(x - mean) / std * scale + bias`` on any region of x.

    Inputs: x, (mean, 1/std), scale, and optionally a bias. Attributes: ``axes`` (reduced),
    ``groups`` (0, or how many groups the statistics stand for), ``per_channel`` (scale and bias are
    vectors along the channels, or along the groups where they have as many entries; otherwise they
    broadcast as NumPy does).
    """

    def demand(self, op: Operator, wanted: Regions) -> Demand:
        region = first_region(wanted)
        statistics = [
            (0, 1) if axis in op.attributes["axes"] else interval
            for axis, interval in enumerate(region)
        ]
        groups = op.attribute("groups", 0)
        if groups:
            statistics[1] = _groups_of(region[1], op.input_shape()[1] // groups)
        factors = [self._factor_region(op, index, region) for index in range(2, len(op.inputs))]
        return Demand((region,), (region, Region([_BOTH, *statistics]), *factors))

    @staticmethod
    def _factor_region(op: Operator, index: int, region: Region) -> Region | None:
        if not op.has_input(index):
            return None
        if not op.attribute("per_channel", 0):
            return broadcast_region(region, op.input(index))
        channels, entries = op.input_shape()[1], op.input_shape(index)[0]
        return Region([_groups_of(region[1], channels // entries)])

    def emit(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        made = first_region(demand.outputs)
        assert inputs[1] is not None
        mean, inverse = (emit_gather(emitter, inputs[1], which, 0) for which in range(2))
        groups = op.attribute("groups", 0)
        if groups:
            mean, inverse = (
                self._per_channel(op, part, 1, groups, made, emitter) for part in (mean, inverse)
            )
        factors: list[str | None] = []
        for index, name in enumerate(inputs[2:], start=2):
            if name is not None and op.attribute("per_channel", 0):
                entries = op.input_shape(index)[0]
                name = self._per_channel(op, name, 0, entries, made, emitter)
                name = emit_reshape(emitter, name, [-1, *([1] * (len(made) - 2))])
            factors.append(name)
        (result,) = emitter.node("Sub", [inputs[0], mean])
        if op.attribute("per_channel", 0):
            (inverse,) = emitter.node("Mul", [inverse, factors[0]])
            (result,) = emitter.node("Mul", [result, inverse])
        else:
            (result,) = emitter.node("Mul", [result, inverse])
            (result,) = emitter.node("Mul", [result, factors[0]])
        if len(factors) > 1 and factors[1] is not None:
            (result,) = emitter.node("Add", [result, factors[1]])
        return (result,)

    @staticmethod
    def _per_channel(
        op: Operator, name: str, axis: int, entries: int, made: Region, emitter: Emitter
    ) -> str:
        """From one entry per group to one per channel of the tile."""
        per_group = op.input_shape()[1] // entries
        if per_group == 1:
            return name
        first = made[1][0] // per_group
        indices = np.arange(*made[1]) // per_group - first
        return emit_gather(emitter, name, indices, axis)

    def flops(self, op: Operator, outputs: Regions) -> int:
        made = first_region(outputs)
        return 4 * made.size
