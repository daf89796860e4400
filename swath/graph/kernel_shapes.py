"""Shapes as ONNX Runtime's kernels make them, where ONNX's shape inference says otherwise.

Found by comparing the two on random operators: pools in ceil mode (the kernel drops a window that
would start behind the map and the padding before it), pools with ``auto_pad`` SAME and a dilation
(the kernel leaves the dilation out of the padding), ConvTranspose with an ``output_padding`` beside
SAME or with an ``output_shape``, and scales of Resize and Upsample (the kernel multiplies in
float32). A tile cut by a wrong shape would be silently wrong, so in these cases the kernel itself
is asked, with zeros for a map of one channel.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TypeProto, helper

from swath.errors import ModelError
from swath.graph.fold import bodies, session, static_shape
from swath.graph.read import LARGE_BYTES, Skeleton, lighten, tensor_proto

logger = logging.getLogger(__name__)

_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool", "NhwcMaxPool"})
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Which input the weights are."""

_DOMAINS = ("", "com.microsoft")
_RESIZED = frozenset({"Resize", "Upsample"})
_SAME = ("SAME_UPPER", "SAME_LOWER")
_MOST_ELEMENTS = 2**24
"""A larger map is not made just to see its shape, which is then not known before the model runs."""


def doubted_types(skeleton: Skeleton, types: Mapping[str, TypeProto]) -> dict[str, TypeProto]:
    """The types of all outputs on whose shape the kernels and ONNX may disagree, as the kernels
    have it; without a shape where the kernel could not be asked.

    ``types``: of every value, as far as known.
    """
    found: dict[str, TypeProto] = {}
    for node in skeleton.proto.graph.node:
        if not _is_doubtful(node, skeleton.weights, types):
            continue
        shape = None if any(bodies(node)) else _kernel_shape(node, skeleton, types)
        for position, name in enumerate(node.output):
            # Where ONNX does not know the operator, its first output is of its input's type.
            source = name if name in types or position else node.input[0]
            value_type = types.get(source)
            if name and value_type is not None and value_type.WhichOneof("value") == "tensor_type":
                element = value_type.tensor_type.elem_type
                found[name] = helper.make_tensor_type_proto(element, shape)
    return found


def lighten_with(skeleton: Skeleton, known: Mapping[str, TypeProto]) -> onnx.ModelProto:
    """As `lighten`, where tools take the types of some tensors from ``known``: these are inputs,
    and what their operators make has other names."""
    light = lighten(skeleton)
    if not known:
        return light
    for node in light.graph.node:
        node.output[:] = [f"{name}~made" if name in known else name for name in node.output]
    light.graph.input.extend(
        onnx.ValueInfoProto(name=name, type=value_type) for name, value_type in known.items()
    )
    return light


def check_windows(skeleton: Skeleton, types: Mapping[str, TypeProto]) -> None:
    """Raises ModelError for a window that does not fit its map: ONNX Runtime refuses it only when
    it runs, or dies of it (of a pool that makes an empty map, by a division by zero)."""
    for node in skeleton.proto.graph.node:
        known = node.op_type in _POOLS or node.op_type in _CONVOLUTIONS
        if not known or node.domain not in _DOMAINS:
            continue
        attributes = _attributes(node)
        extents = _spatial_extents(node, types)
        kernel = attributes.get("kernel_shape") or _weight_extents(node, skeleton, types)
        if extents is None or kernel is None or len(kernel) != len(extents):
            continue
        for extent, reach, span, stride in _axes(node, attributes, extents, kernel):
            missing = span - reach
            # A pool makes one output of what there is of a window that lacks less than a stride.
            if missing > 0 and (node.op_type in _CONVOLUTIONS or missing >= stride):
                raise ModelError(
                    f"node '{node.name}' ({node.op_type}): its window of {span} does not fit a map "
                    f"of {extent} ({reach} with padding): give the model a larger input"
                )


def _axes(
    node: NodeProto, attributes: Mapping[str, Any], extents: Sequence[int], kernel: Sequence[int]
) -> Iterator[tuple[int, int, int, int]]:
    """Of every axis: extent, extent with padding, span of the window, stride."""
    rank = len(extents)
    strides = attributes.get("strides") or [1] * rank
    dilations = attributes.get("dilations") or [1] * rank
    pads = attributes.get("pads") or [0] * (2 * rank)
    auto_pad = attributes.get("auto_pad", b"NOTSET").decode()
    for axis, extent in enumerate(extents):
        stride = strides[axis]
        span = dilations[axis] * (kernel[axis] - 1) + 1
        padding = pads[axis] + pads[axis + rank]
        if auto_pad == "VALID":
            padding = 0
        elif auto_pad in _SAME:
            seen = span if node.op_type in _CONVOLUTIONS else kernel[axis]
            padding = max(0, (-(-extent // stride) - 1) * stride + seen - extent)
        yield extent, extent + padding, span, stride


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _spatial_extents(node: NodeProto, types: Mapping[str, TypeProto]) -> tuple[int, ...] | None:
    shape = static_shape(types.get(node.input[0]))
    if shape is None:
        return None
    return shape[1:-1] if node.op_type == "NhwcMaxPool" else shape[2:]


def _weight_extents(
    node: NodeProto, skeleton: Skeleton, types: Mapping[str, TypeProto]
) -> tuple[int, ...] | None:
    index = _CONVOLUTIONS.get(node.op_type)
    if index is None or index >= len(node.input):
        return None
    shape = _shape_of(node.input[index], skeleton.weights, types)
    return None if shape is None else shape[2:]


def _shape_of(
    name: str, weights: Mapping[str, np.ndarray], types: Mapping[str, TypeProto]
) -> tuple[int, ...] | None:
    return tuple(weights[name].shape) if name in weights else static_shape(types.get(name))


# Where inference is not trusted


def _is_doubtful(
    node: NodeProto, weights: Mapping[str, np.ndarray], types: Mapping[str, TypeProto]
) -> bool:
    if node.domain not in _DOMAINS:
        return False
    attributes = _attributes(node)
    same = attributes.get("auto_pad", b"").decode() in _SAME
    if node.op_type in _POOLS:
        return same or bool(attributes.get("ceil_mode", 0))
    if node.op_type == "ConvTranspose":
        return same or bool(attributes.get("output_shape"))
    if node.op_type in _RESIZED:
        scales = _scales(node, weights)
        return scales is not None and not np.array_equal(scales, np.round(scales))
    return any(_is_doubtful(inner, {}, {}) for body in bodies(node) for inner in body.node)


def _scales(node: NodeProto, weights: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The scales that decide the extents; one that is not known is a half. None: sizes do."""
    index = 1 if len(node.input) == 2 else 2
    name = node.input[index] if index < len(node.input) else ""
    if not name or (len(node.input) > 3 and node.input[3]):
        return None
    return weights.get(name, np.array([0.5], np.float32))


# Asking the kernel


def _kernel_shape(
    node: NodeProto, skeleton: Skeleton, types: Mapping[str, TypeProto]
) -> tuple[int, ...] | None:
    """The shape of the first output, by running the node; None where that fails or costs much."""
    shapes = [_shape_of(name, skeleton.weights, types) if name else None for name in node.input]
    shape = shapes[0]
    if shape is None or len(shape) < 2 or not all(shape):
        return None
    probe = NodeProto()
    probe.CopyFrom(node)
    del probe.output[1:]
    # Batch and channels that the probe leaves out, because they do not matter.
    leading: tuple[int, ...] = (1, 1)
    if node.op_type == "ConvTranspose" and shapes[1] is not None:
        leading = (shape[0], shapes[1][1] * _attributes(node).get("group", 1))
        shapes = [(1, 1, *shape[2:]), (1, 1, *shapes[1][2:])]
        del probe.input[2:]
        _replace_attribute(probe, "group", 1)
    elif node.op_type in _POOLS - {"NhwcMaxPool"} or _keeps_leading_axes(node, skeleton, shape):
        leading = shape[:2]
        shapes[0] = (1, 1, *shape[2:])
    inferred = static_shape(types.get(node.output[0])) or ()
    if max(prod(shapes[0] or ()), prod(inferred) // prod(leading)) > _MOST_ELEMENTS:
        return None
    made = _ask(probe, shapes, skeleton, types)
    return None if made is None else (made[0] * leading[0], made[1] * leading[1], *made[2:])


def _replace_attribute(node: NodeProto, name: str, value: object) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _keeps_leading_axes(node: NodeProto, skeleton: Skeleton, shape: Sequence[int]) -> bool:
    """Whether a Resize leaves batch and channels as they are."""
    axes = [axis % len(shape) for axis in _attributes(node).get("axes", range(len(shape)))]
    scales = _scales(node, skeleton.weights)
    if node.op_type not in _RESIZED or scales is None or len(scales) != len(axes):
        return False
    return all(scale == 1 for axis, scale in zip(axes, scales, strict=True) if axis < 2)


def _ask(
    node: NodeProto,
    shapes: Sequence[tuple[int, ...] | None],
    skeleton: Skeleton,
    types: Mapping[str, TypeProto],
) -> tuple[int, ...] | None:
    """The shape that a kernel makes of zeros of these shapes, beside small constants."""
    model = onnx.ModelProto(ir_version=skeleton.proto.ir_version)
    model.opset_import.extend(skeleton.proto.opset_import)
    model.graph.name = "probe"
    for index, (name, shape) in enumerate(zip(node.input, shapes, strict=True)):
        if not name:
            continue
        node.input[index] = f"x{index}"
        array = skeleton.weights.get(name)
        if array is not None and array.shape == shape and array.nbytes <= LARGE_BYTES:
            model.graph.initializer.append(tensor_proto(array, f"x{index}"))
            continue
        if shape is None:
            return None
        element = (
            types[name].tensor_type.elem_type
            if array is None
            else helper.np_dtype_to_tensor_dtype(array.dtype)
        )
        model.graph.input.append(helper.make_tensor_value_info(f"x{index}", element, shape))
    node.name, node.output[0] = "probe", "y"
    model.graph.node.append(node)
    model.graph.output.add(name="y")
    return _run(model.SerializeToString(deterministic=True))


@lru_cache(maxsize=4096)
def _run(model: bytes) -> tuple[int, ...] | None:
    proto = onnx.ModelProto.FromString(model)
    feeds = {}
    for value in proto.graph.input:
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = np.zeros(static_shape(value.type) or (), dtype)
    try:
        (made,) = session(proto).run(None, feeds)
    except Exception as error:  # ONNX Runtime's have no common class
        logger.debug("a kernel was not asked for its shape: %s", error)
        return None
    return tuple(made.shape)
