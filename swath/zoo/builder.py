"""The builder that the model families are written with.

A family is a function (network, image) -> value; every method of `Network` appends a node and
returns the value it makes. Parameters are called as torch calls them (`PREFIX.weight`,
`PREFIX.running_mean`), so weight files made with torch fit by name. The initializers of a
finished model are exactly its parameters; other constants are Constant nodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from swath.zoo.errors import InvalidSize
from swath.zoo.moments import UNIT, Curve, Moments, after, mixture, product, total
from swath.zoo.pooling import adaptive_matrix, windows
from swath.zoo.weights import WeightStream

__all__ = ["Network", "Value"]

_IR_VERSION = 8
_OPSET = 17


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the model: its name, its static shape (N, C, H, W or N, C), its statistics."""

    name: str
    shape: tuple[int, ...]
    moments: Moments

    @property
    def channels(self) -> int:
        """Size of the second axis."""
        return self.shape[1]


class Network:
    """A model under construction. Weights are drawn in the order that layers are added."""

    def __init__(self, name: str, seed: int) -> None:
        # Everything goes straight into the final message: helper.make_model would copy the
        # weights twice.
        self._model = onnx.ModelProto(ir_version=_IR_VERSION, producer_name="swath")
        self._model.opset_import.add().version = _OPSET
        self._graph = self._model.graph
        self._graph.name = name
        self._weights = WeightStream(name, seed)
        self._constants: set[str] = set()

    def input(self, shape: tuple[int, int, int, int]) -> Value:
        """The image, float32, N x C x H x W, taken to be of mean 0 and variance 1."""
        self._graph.input.append(_value_info("input", shape))
        return Value("input", shape, UNIT)

    def finish(self, value: Value) -> onnx.ModelProto:
        """The model whose output is `value`, the value made last."""
        last = self._graph.node[-1]
        if last.output[0] != value.name:
            raise AssertionError(f"{value.name} is not the value made last: {last.output[0]} is")
        last.output[0] = "output"
        del self._graph.value_info[-1]
        self._graph.output.append(_value_info("output", value.shape))
        return self._model

    # Layers with parameters

    def conv(
        self,
        value: Value,
        prefix: str,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> Value:
        """Square convolution to `channels` output channels."""
        batch, inputs, *extents = value.shape
        fan_in = inputs // groups * kernel**2
        self._kernel(prefix, (channels, inputs // groups, kernel, kernel), fan_in, value.moments)
        names = [value.name, f"{prefix}.weight"]
        if bias:
            names.append(self._bias(prefix, channels))
        sizes = (windows(prefix, extent, kernel, stride, 2 * padding) for extent in extents)
        return self._append(
            "Conv",
            prefix,
            names,
            (batch, channels, *sizes),
            UNIT,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[padding] * 4,
            group=groups,
        )

    def conv_transpose(self, value: Value, prefix: str, channels: int, kernel: int) -> Value:
        """Transposed convolution whose stride is its kernel, so that windows do not overlap."""
        batch, inputs, height, width = value.shape
        self._kernel(prefix, (inputs, channels, kernel, kernel), inputs, value.moments)
        return self._append(
            "ConvTranspose",
            prefix,
            [value.name, f"{prefix}.weight", self._bias(prefix, channels)],
            (batch, channels, height * kernel, width * kernel),
            UNIT,
            kernel_shape=[kernel, kernel],
            strides=[kernel, kernel],
        )

    def linear(self, value: Value, prefix: str, features: int) -> Value:
        """Fully connected layer on N x C."""
        batch, inputs = value.shape
        self._kernel(prefix, (features, inputs), inputs, value.moments)
        names = [value.name, f"{prefix}.weight", self._bias(prefix, features)]
        return self._append("Gemm", prefix, names, (batch, features), UNIT, transB=1)

    def batch_norm(
        self, value: Value, prefix: str, *, epsilon: float = 1e-5, gain: float = 1.0
    ) -> Value:
        """Batch normalisation; `gain` is what its weights are around (seeded weights only)."""
        shape = (value.channels,)
        self._parameter(f"{prefix}.weight", shape, gain, 0.2 * gain)
        self._parameter(f"{prefix}.bias", shape, 0.0, 0.1 * gain)
        self._parameter(f"{prefix}.running_mean", shape, 0.0, 0.1)
        self._parameter(f"{prefix}.running_var", shape, 1.0, 0.2)
        fields = ("weight", "bias", "running_mean", "running_var")
        names = [value.name, *(f"{prefix}.{field}" for field in fields)]
        moments = Moments(gain * value.moments.mean, gain**2 * value.moments.variance)
        return self._append(
            "BatchNormalization", prefix, names, value.shape, moments, epsilon=epsilon
        )

    # Activations

    def relu(self, value: Value) -> Value:
        """max(x, 0)."""
        return self._activation(value, "Relu", lambda x: np.maximum(x, 0.0))

    def relu6(self, value: Value) -> Value:
        """min(max(x, 0), 6)."""
        bounds = [self._constant("relu6.low", 0.0), self._constant("relu6.high", 6.0)]
        moments = after(lambda x: np.clip(x, 0.0, 6.0), value.moments)
        name = f"{value.name}.relu6"
        return self._append("Clip", name, [value.name, *bounds], value.shape, moments)

    def leaky_relu(self, value: Value, slope: float) -> Value:
        """x, or slope * x where it is negative."""
        return self._activation(
            value, "LeakyRelu", lambda x: np.where(x < 0.0, slope * x, x), alpha=slope
        )

    def sigmoid(self, value: Value) -> Value:
        """1 / (1 + exp(-x))."""
        return self._activation(value, "Sigmoid", lambda x: 1.0 / (1.0 + np.exp(-x)))

    def hard_sigmoid(self, value: Value) -> Value:
        """min(max(x / 6 + 1/2, 0), 1)."""
        return self._activation(
            value, "HardSigmoid", lambda x: np.clip(x / 6.0 + 0.5, 0.0, 1.0), alpha=1 / 6, beta=0.5
        )

    def hard_swish(self, value: Value) -> Value:
        """x * hard_sigmoid(x)."""
        return self._activation(value, "HardSwish", lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0))

    def silu(self, value: Value) -> Value:
        """x * sigmoid(x), as two nodes: this opset has no operator for it."""
        gate = self.sigmoid(value)
        moments = after(lambda x: x / (1.0 + np.exp(-x)), value.moments)
        name = f"{value.name}.silu"
        return self._append("Mul", name, [value.name, gate.name], value.shape, moments)

    # Pooling and shape

    def max_pool(
        self,
        value: Value,
        kernel: int,
        stride: int,
        *,
        padding: tuple[int, int] = (0, 0),
        ceil: bool = False,
    ) -> Value:
        """Square max pooling; `padding` is (begin, end), the same on both axes."""
        name = f"{value.name}.max_pool"
        batch, channels, *extents = value.shape
        sizes = (windows(name, x, kernel, stride, sum(padding), ceil=ceil) for x in extents)
        begin, end = padding
        return self._append(
            "MaxPool",
            name,
            [value.name],
            (batch, channels, *sizes),
            value.moments,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[begin, begin, end, end],
            ceil_mode=int(ceil),
        )

    def average_pool(self, value: Value, kernel: tuple[int, int]) -> Value:
        """Average pooling whose stride is its kernel, without padding."""
        name = f"{value.name}.average_pool"
        batch, channels, *extents = value.shape
        sizes = (windows(name, x, k, k, 0) for x, k in zip(extents, kernel, strict=True))
        return self._append(
            "AveragePool",
            name,
            [value.name],
            (batch, channels, *sizes),
            value.moments,
            kernel_shape=list(kernel),
            strides=list(kernel),
        )

    def adaptive_average_pool(self, value: Value, bins: int) -> Value:
        """torch's AdaptiveAvgPool2d to bins x bins, exact for every input size."""
        batch, channels, height, width = value.shape
        if (height, width) == (bins, bins):
            return value
        if bins == 1:
            return self.global_average_pool(value)
        if height % bins == 0 and width % bins == 0:
            return self.average_pool(value, (height // bins, width // bins))
        name = f"{value.name}.adaptive_pool"
        rows = self._constant(f"{name}.rows.matrix", adaptive_matrix(height, bins))
        columns = self._constant(f"{name}.columns.matrix", adaptive_matrix(width, bins).T)
        shape = (batch, channels, bins, width)
        pooled = self._append("MatMul", f"{name}.rows", [rows, value.name], shape, value.moments)
        shape = (batch, channels, bins, bins)
        names = [pooled.name, columns]
        return self._append("MatMul", f"{name}.columns", names, shape, value.moments)

    def global_average_pool(self, value: Value) -> Value:
        """N x C x 1 x 1."""
        name = f"{value.name}.global_pool"
        shape = (*value.shape[:2], 1, 1)
        return self._append("GlobalAveragePool", name, [value.name], shape, value.moments)

    def flatten(self, value: Value) -> Value:
        """N x C x H x W to N x CHW."""
        shape = (value.shape[0], math.prod(value.shape[1:]))
        name = f"{value.name}.flatten"
        return self._append("Flatten", name, [value.name], shape, value.moments, axis=1)

    def space_to_depth(self, value: Value, block: int) -> Value:
        """block x block pixels become channels: N x C x H x W to N x Cb² x H/b x W/b."""
        name = f"{value.name}.space_to_depth"
        batch, channels, height, width = value.shape
        if height % block or width % block:
            raise InvalidSize(f"{name}: {height}x{width} is not a multiple of {block}")
        shape = (batch, channels * block**2, height // block, width // block)
        return self._append(
            "SpaceToDepth", name, [value.name], shape, value.moments, blocksize=block
        )

    # Several values

    def add(self, left: Value, right: Value) -> Value:
        """Sum of two values of one shape."""
        moments = total(left.moments, right.moments)
        names = [left.name, right.name]
        return self._append("Add", f"{left.name}.add", names, left.shape, moments)

    def subtract(self, left: Value, right: Value) -> Value:
        """Difference of two values of one shape."""
        negative = Moments(-right.moments.mean, right.moments.variance)
        moments = total(left.moments, negative)
        names = [left.name, right.name]
        return self._append("Sub", f"{left.name}.subtract", names, left.shape, moments)

    def scale(self, value: Value, gate: Value) -> Value:
        """Multiply every channel by its gate (N x C x 1 x 1)."""
        moments = product(value.moments, gate.moments)
        names = [value.name, gate.name]
        return self._append("Mul", f"{value.name}.scale", names, value.shape, moments)

    def concat(self, name: str, values: Sequence[Value]) -> Value:
        """Concatenation along the channels."""
        sizes = [value.channels for value in values]
        shape = (values[0].shape[0], sum(sizes), *values[0].shape[2:])
        moments = mixture([value.moments for value in values], sizes)
        return self._append("Concat", name, [v.name for v in values], shape, moments, axis=1)

    # What all of them are made of

    def _append(
        self,
        operator: str,
        name: str,
        inputs: Sequence[str],
        shape: tuple[int, ...],
        moments: Moments,
        **attributes: Any,
    ) -> Value:
        """Add a node; its output has the node's own name, which is unique in the model."""
        self._graph.node.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        self._graph.value_info.append(_value_info(name, shape))
        return Value(name, shape, moments)

    def _activation(self, value: Value, operator: str, curve: Curve, **attributes: float) -> Value:
        name = f"{value.name}.{operator.lower()}"
        moments = after(curve, value.moments)
        return self._append(operator, name, [value.name], value.shape, moments, **attributes)

    def _constant(self, name: str, array: ArrayLike) -> str:
        """The value of a Constant node of that name, made at its first use."""
        if name not in self._constants:
            self._constants.add(name)
            tensor = numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name)
            self._graph.node.append(
                helper.make_node("Constant", [], [name], name=name, value=tensor)
            )
        return name

    def _kernel(self, prefix: str, shape: tuple[int, ...], fan_in: int, moments: Moments) -> None:
        """Weights that turn `fan_in` inputs of these moments into outputs of unit variance."""
        # A uniform distribution on [-b, b) has variance b²/3.
        spread = math.sqrt(3.0 / (fan_in * moments.energy))
        self._parameter(f"{prefix}.weight", shape, 0.0, spread)

    def _bias(self, prefix: str, size: int) -> str:
        self._parameter(f"{prefix}.bias", (size,), 0.0, 0.1)
        return f"{prefix}.bias"

    def _parameter(self, name: str, shape: tuple[int, ...], centre: float, spread: float) -> None:
        tensor = self._graph.initializer.add()
        tensor.name = name
        tensor.data_type = TensorProto.FLOAT
        tensor.dims.extend(shape)
        tensor.raw_data = self._weights.uniform(math.prod(shape), centre, spread)


def _value_info(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
