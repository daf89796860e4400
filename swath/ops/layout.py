"""Transpose, Concat, Trilu, and blocks of space that become channels and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from swath.ops.emitting import emit_concat, emit_identity
from swath.ops.region import Interval, Region
from swath.ops.rule import Demand, Emitter, Operator, Regions, register
from swath.ops.split_rule import DataMovement, first_region


@register("Transpose")
class Transpose(DataMovement):
    """Output axis ``i`` is input axis ``perm[i]``."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        order = op.integers("perm") or tuple(reversed(range(len(region))))
        source = dict(zip(order, region, strict=True))
        return Demand((region,), (Region(source[axis] for axis in range(len(region))),))


@register("Concat")
class Concat(DataMovement):
    """A part reads the inputs that it touches; the others are left out of it."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        region = first_region(wanted)
        axis = int(op.attribute("axis", 1)) % len(region)
        lo, hi = region[axis]
        needed: list[Region | None] = []
        start = 0
        for index in range(len(op.inputs)):
            extent = op.input_shape(index)[axis]
            first, last = max(lo - start, 0), min(hi - start, extent)
            needed.append(region.replace(axis, (first, last)) if first < last else None)
            start += extent
        return Demand((region,), tuple(needed))

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        touched = [name for name in inputs if name is not None]
        if len(touched) == 1:
            return (emit_identity(emitter, touched[0]),)
        return (emit_concat(emitter, touched, int(op.attribute("axis", 1))),)


@register("DepthToSpace")
class DepthToSpace(DataMovement):
    """Blocks of channels become blocks of space. With CRD the channels of a block stand together
    and can be split; with DCR they lie all over the input and are taken whole."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        batch, channels, *space = first_region(wanted)
        block = int(op.attributes["blocksize"])
        if op.attribute("mode", "DCR") == "CRD":
            read = (channels[0] * block**2, channels[1] * block**2)
        else:
            channels, read = (0, op.output_shape()[1]), (0, op.input_shape()[1])
        cells = [(lo // block, -(-hi // block)) for lo, hi in space]
        made = Region([batch, channels, *((lo * block, hi * block) for lo, hi in cells)])
        return Demand((made,), (Region([batch, read, *cells]),))


@register("SpaceToDepth")
class SpaceToDepth(DataMovement):
    """Blocks of space become channels, which are taken whole."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        batch, _, *space = first_region(wanted)
        block = int(op.attributes["blocksize"])
        made = Region([batch, (0, op.output_shape()[1]), *space])
        blocks: list[Interval] = [(lo * block, hi * block) for lo, hi in space]
        return Demand((made,), (Region([batch, (0, op.input_shape()[1]), *blocks]),))


@register("Trilu")
class Trilu(DataMovement):
    """Keeps one side of the diagonal ``column - row = k``, which moves with the part's origin."""

    def split(self, op: Operator, wanted: Regions) -> Demand | None:
        if op.has_input(1) and op.value(1) is None:
            return None
        region = first_region(wanted)
        return Demand((region,), (region, None)[: len(op.inputs)])

    def emit_part(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        region = first_region(demand.outputs)
        value = op.value(1)
        diagonal = 0 if value is None else int(value.reshape(-1)[0])
        moved = diagonal + region[-2][0] - region[-1][0]
        shift = emitter.constant(np.array(moved, np.int64))
        return emitter.node("Trilu", [inputs[0], shift], attributes=op.attributes)
