"""Building the networks whose kernels are timed: shapes are all that matters, weights are made up.

Every method of `Layers` appends a node and returns the value that it makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from swath.graph.graph import Graph
from swath.graph.load import load_onnx

_OPSET, _IR = 17, 8

INPUT, OUTPUT = "input", "output"


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor by its name; batch, channels, height, width, or batch and features."""

    name: str
    shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        return self.shape[1]

    @property
    def side(self) -> int:
        return self.shape[-1]


class Layers:
    """A network under construction."""

    def __init__(self, *shape: int) -> None:
        self.input = Value(INPUT, shape)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._last = self.input

    def graph(self) -> Graph:
        """The network as a graph; its output is the value made last."""
        ends = [(INPUT, self.input.shape), (OUTPUT, self._last.shape)]
        self._nodes.append(helper.make_node("Identity", [self._last.name], [OUTPUT], name="end"))
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ends]
        proto = helper.make_graph(self._nodes, "layers", values[:1], values[1:], self._weights)
        opsets = [helper.make_opsetid("", _OPSET)]
        return load_onnx(helper.make_model(proto, opset_imports=opsets, ir_version=_IR))

    def node(
        self, kind: str, inputs: Sequence[str], shape: tuple[int, ...], **attributes: Any
    ) -> Value:
        """Any operator of one output."""
        name = f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        self._last = Value(name, shape)
        return self._last

    def conv(
        self, value: Value, channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> Value:
        """Square convolution; what it pads keeps the side, before the stride."""
        weight = self._weight(channels, value.channels // groups, kernel, kernel)
        return self.node(
            "Conv",
            [value.name, weight, self._weight(channels)],
            (1, channels, *_windows(value, kernel, stride)),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[_padding(kernel)] * 4,
            group=groups,
        )

    def depthwise(self, value: Value, kernel: int, stride: int = 1) -> Value:
        return self.conv(value, value.channels, kernel, stride, value.channels)

    def transposed(self, value: Value, channels: int, kernel: int, stride: int) -> Value:
        """Transposed convolution that multiplies the side by ``stride``."""
        weight = self._weight(value.channels, channels, kernel, kernel)
        before = (kernel - stride) // 2
        return self.node(
            "ConvTranspose",
            [value.name, weight, self._weight(channels)],
            (1, channels, *(extent * stride for extent in value.shape[2:])),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[before, before, kernel - stride - before, kernel - stride - before],
        )

    def linear(self, value: Value, features: int) -> Value:
        weight = self._weight(features, value.channels)
        inputs = [value.name, weight, self._weight(features)]
        return self.node("Gemm", inputs, (1, features), transB=1)

    def pool(self, value: Value, kernel: int, stride: int, kind: str = "MaxPool") -> Value:
        return self.node(
            kind,
            [value.name],
            (1, value.channels, *_windows(value, kernel, stride)),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[_padding(kernel)] * 4,
        )

    def global_pool(self, value: Value) -> Value:
        return self.node("GlobalAveragePool", [value.name], (1, value.channels, 1, 1))

    def reduced(self, kind: str, value: Value) -> Value:
        """Each channel to one entry."""
        shape = (1, value.channels, 1, 1)
        if kind != "ReduceSum":
            return self.node(kind, [value.name], shape, axes=[2, 3])
        axes = f"axes{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.array([2, 3]), axes))
        return self.node(kind, [value.name, axes], shape)

    def flatten(self, value: Value) -> Value:
        return self.node("Flatten", [value.name], (1, prod(value.shape[1:])), axis=1)

    def batch_norm(self, value: Value) -> Value:
        fields = [self._weight(value.channels) for _ in range(4)]
        return self.node("BatchNormalization", [value.name, *fields], value.shape)

    def same(self, kind: str, *values: Value, **attributes: Any) -> Value:
        """An operator whose output has its first input's shape."""
        return self.node(kind, [value.name for value in values], values[0].shape, **attributes)

    def concat(self, *values: Value) -> Value:
        channels = sum(value.channels for value in values)
        shape = (1, channels, *values[0].shape[2:])
        return self.node("Concat", [value.name for value in values], shape, axis=1)

    def cut(self, value: Value, begin: int, rows: int) -> Value:
        """Some of the rows."""
        bounds = []
        for number in (begin, begin + rows, 2):
            bounds.append(f"bound{len(self._weights)}")
            self._weights.append(numpy_helper.from_array(np.array([number]), bounds[-1]))
        shape = (1, value.channels, rows, value.side)
        return self.node("Slice", [value.name, *bounds], shape)

    def shuffled(self, value: Value, groups: int) -> Value:
        """Channels in another order: the first of each group, then the second of each."""
        channels, *sides = value.shape[1:]
        apart = self._reshaped(value, (1, groups, channels // groups, *sides))
        shape = (1, channels // groups, groups, *sides)
        turned = self.node("Transpose", [apart.name], shape, perm=[0, 2, 1, 3, 4])
        return self._reshaped(turned, value.shape)

    def _reshaped(self, value: Value, shape: tuple[int, ...]) -> Value:
        wanted = f"shape{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.array(shape), wanted))
        return self.node("Reshape", [value.name, wanted], shape)

    def space_to_depth(self, value: Value) -> Value:
        height, width = value.shape[2:]
        shape = (1, value.channels * 4, height // 2, width // 2)
        return self.node("SpaceToDepth", [value.name], shape, blocksize=2)

    def depth_to_space(self, value: Value) -> Value:
        height, width = value.shape[2:]
        shape = (1, value.channels // 4, height * 2, width * 2)
        return self.node("DepthToSpace", [value.name], shape, blocksize=2)

    def enlarged(self, value: Value, mode: str) -> Value:
        """Twice the side, by ``nearest`` or ``linear``."""
        scales = f"scales{len(self._weights)}"
        array = np.array([1, 1, 2, 2], np.float32)
        self._weights.append(numpy_helper.from_array(array, scales))
        return self.node(
            "Resize",
            [value.name, "", scales],
            (1, value.channels, *(2 * extent for extent in value.shape[2:])),
            mode=mode,
            coordinate_transformation_mode="asymmetric" if mode == "nearest" else "half_pixel",
            nearest_mode="floor",
        )

    def _weight(self, *shape: int) -> str:
        """Content does not matter, but that no two are the same: these would be one in memory."""
        number = len(self._weights)
        name = f"weight{number}"
        content = np.full(shape, 0.01 + 1e-5 * number, np.float32)
        self._weights.append(numpy_helper.from_array(content, name))
        return name


def _padding(kernel: int) -> int:
    """At each border: what keeps the side; nothing for even kernels, which tile the map."""
    return kernel // 2 if kernel % 2 else 0


def _windows(value: Value, kernel: int, stride: int) -> tuple[int, ...]:
    padding = 2 * _padding(kernel)
    return tuple((extent + padding - kernel) // stride + 1 for extent in value.shape[2:])
