"""Standard ONNX operators in the form that the tile's opset wants: what several rules emit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from swath.ops.region import Region
from swath.ops.rule import Emitter

INPUT_AXES_SINCE = {"ReduceSum": 13}
"""The opset in which a reduction's axes moved from an attribute to an input; 18 for the others."""


def emit_crop(emitter: Emitter, name: str, held: Region, wanted: Region) -> str:
    """A name that holds ``wanted``, cut from a tensor that holds ``held``."""
    axes = [axis for axis in range(len(held)) if held[axis] != wanted[axis]]
    if not axes:
        return name
    relative = wanted.relative_to(held)
    return emit_strided(emitter, name, {axis: range(*relative[axis]) for axis in axes})


def emit_strided(emitter: Emitter, name: str, indices: Mapping[int, range]) -> str:
    """The entries at ``indices`` of some axes, by axis. A step other than 1 wants opset 10."""
    axes = list(indices)
    starts = [index.start for index in indices.values()]
    # Counting down, the end behind entry 0 cannot be written as -1, which is the last entry.
    ends = [index.stop if index.stop >= 0 else -(2**62) for index in indices.values()]
    steps = [index.step for index in indices.values()]
    if emitter.opset < 10:
        if any(step != 1 for step in steps):
            raise ValueError(f"opset {emitter.opset} has no Slice with steps")
        attributes = {"axes": axes, "starts": starts, "ends": ends}
        return emitter.node("Slice", [name], attributes=attributes)[0]
    parameters = [starts, ends, axes] + ([steps] if any(step != 1 for step in steps) else [])
    bounds = [emitter.constant(np.array(values, np.int64)) for values in parameters]
    return emitter.node("Slice", [name, *bounds])[0]


def emit_identity(emitter: Emitter, name: str) -> str:
    """The same values under a name of their own (ONNX Runtime drops the node)."""
    return emitter.node("Identity", [name])[0]


def emit_reshape(emitter: Emitter, name: str, shape: Sequence[int]) -> str:
    return emitter.node("Reshape", [name, emitter.constant(np.array(shape, np.int64))])[0]


def emit_concat(emitter: Emitter, names: Sequence[str], axis: int) -> str:
    if len(names) == 1:
        return names[0]
    return emitter.node("Concat", names, attributes={"axis": axis})[0]


def emit_gather(emitter: Emitter, name: str, indices: np.ndarray | int, axis: int) -> str:
    """Entries of one axis; an index that is a number drops the axis."""
    chosen = emitter.constant(np.array(indices, np.int64))
    return emitter.node("Gather", [name, chosen], attributes={"axis": axis})[0]


def emit_reduce(
    emitter: Emitter, op_type: str, name: str, axes: Sequence[int], keepdims: bool
) -> str:
    """A standard reduction (``ReduceSum``, ...) over these axes."""
    attributes: dict[str, object] = {"keepdims": int(keepdims)}
    if emitter.opset < INPUT_AXES_SINCE.get(op_type, 18):
        return emitter.node(op_type, [name], attributes={**attributes, "axes": list(axes)})[0]
    chosen = emitter.constant(np.array(axes, np.int64))
    return emitter.node(op_type, [name, chosen], attributes=attributes)[0]
