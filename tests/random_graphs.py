"""Hypothesis strategies: random models of supported operators, random partitions, random stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from hypothesis import assume
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from swath.ops import Region
from tests import splitting
from tests.tiles import make_model

OPSET = 18
Draw = Callable[[st.SearchStrategy[Any]], Any]


class Example:
    """A model, and a value of its input. Hypothesis shows it as a list of nodes."""

    def __init__(self, model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> None:
        self.model = model
        self.feeds = feeds

    def __repr__(self) -> str:
        lines = [f"{name}: {value.shape}, {np.isnan(value).sum()} NaNs"
                 for name, value in self.feeds.items()]  # fmt: skip
        for node in self.model.graph.node:
            attributes = (f"{a.name}={helper.get_attribute_value(a)}" for a in node.attribute)
            call = ", ".join((*node.input, *attributes))
            lines.append(f"{', '.join(node.output)} = {node.op_type}({call})")
        lines += [f"{c.name} = {np.array2string(numpy_helper.to_array(c), threshold=12)}"
                  for c in self.model.graph.initializer]  # fmt: skip
        return "\n".join(lines)


@dataclass
class ModelBuilder:
    """Grows a model node by node; every tensor's value is computed at once, so that what an
    operator may follow with is known."""

    draw: Draw
    generator: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    has_cubic: bool = False

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def one_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def weight(self, *shape: int) -> str:
        fan_in = max(1, int(np.prod(shape[1:])))
        scale = np.float32(1 / np.sqrt(fan_in))
        return self.constant(self.generator.standard_normal(shape, np.float32) * scale)

    def indices(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; returns its first output. Skips the example if it cannot run."""
        names = [f"t{len(self.tensors) + place}" for place in range(outputs)]
        node = helper.make_node(
            op_type, inputs, names, f"{op_type}_{len(self.nodes)}", **attributes
        )
        feeds = {name: self.tensors[name] for name in inputs if name in self.tensors}
        constants = {name: self.constants[name] for name in inputs if name in self.constants}
        try:
            model = make_model([node], feeds, constants, OPSET)
            results = splitting.session(model.SerializeToString()).run(names, feeds)
        except Exception:
            assume(False)
            raise
        assume(all(0 < value.size < 30_000 for value in results))
        self.nodes.append(node)
        self.tensors.update(zip(names, results, strict=True))
        return names[0]

    def has(self, op_type: str) -> bool:
        return any(node.op_type == op_type for node in self.nodes)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name].shape)


# What may follow a map of (batch, channels, rows, columns). Each adds nodes, returns an output.


def _convolution(b: ModelBuilder, x: str) -> str:
    _, channels, rows, columns = b.shape(x)
    kernel = [b.integer(1, min(5, rows)), b.integer(1, min(4, columns))]
    groups = b.one_of(1, 1, channels, 2 if channels % 2 == 0 else 1)
    out = groups * b.integer(1, 3 if groups > 1 else 6)
    return b.add(
        "Conv",
        x,
        b.weight(out, channels // groups, *kernel),
        *([b.weight(out)] if b.one_of(True, False) else []),
        group=groups,
        strides=[b.integer(1, 3), b.integer(1, 2)],
        pads=[b.integer(0, 2) for _ in range(4)],
        dilations=[b.integer(1, 2), 1],
    )


def _transposed_convolution(b: ModelBuilder, x: str) -> str:
    channels = b.shape(x)[1]
    groups = b.one_of(1, channels)
    kernel = [b.integer(2, 4), b.integer(2, 3)]
    strides = [b.integer(1, 3), b.integer(1, 2)]
    return b.add(
        "ConvTranspose",
        x,
        b.weight(channels, b.integer(1, 3), *kernel),
        group=groups,
        strides=strides,
        pads=[b.integer(0, 1) for _ in range(4)],
        output_padding=[b.integer(0, strides[0] - 1), 0],
    )


def _pool(b: ModelBuilder, x: str) -> str:
    kernel = b.integer(2, 3)
    padded = any(node.op_type == "Pad" and x in node.output for node in b.nodes)
    if padded or min(b.shape(x)[2:]) < kernel:
        # ONNX Runtime fuses a Pad with the pool, wrongly where the pool's own padding would have
        # another value or be too wide; and it may divide by zero where no window fits.
        return _activation(b, x)
    attributes: dict[str, Any] = {"ceil_mode": 0}
    kind = b.one_of("MaxPool", "AveragePool", "LpPool")
    if kind != "AveragePool" and np.isnan(b.tensors[x]).any():
        kind = "AveragePool"  # Which NaNs a maximum drops is a matter of vector lanes.
    if kind == "AveragePool":
        attributes["count_include_pad"] = b.integer(0, 1)
    return b.add(
        kind,
        x,
        kernel_shape=[kernel, kernel],
        strides=[b.integer(1, 3), b.integer(1, 2)],
        pads=[b.integer(0, 1) for _ in range(4)],
        **attributes,
    )


def _activation(b: ModelBuilder, x: str) -> str:
    return b.add(b.one_of("Relu", "Sigmoid", "HardSwish", "Tanh", "LeakyRelu", "Neg"), x)


def _with_constant(b: ModelBuilder, x: str) -> str:
    shape = [extent if b.one_of(True, False) else 1 for extent in b.shape(x)]
    shape = shape[b.integer(0, len(shape)) :]
    return b.add(b.one_of("Add", "Mul", "Sub"), x, b.weight(*shape))


def _residual(b: ModelBuilder, x: str) -> str:
    alike = [name for name in b.tensors if b.shape(name) == b.shape(x)]
    return b.add(b.one_of("Add", "Mul"), x, b.one_of(*alike))


def _concat(b: ModelBuilder, x: str) -> str:
    axis = b.integer(1, 3)

    def others(name: str) -> tuple[int, ...]:
        shape = b.shape(name)
        return shape[:axis] + shape[axis + 1 :]

    alike = [name for name in b.tensors if others(name) == others(x)]
    return b.add("Concat", b.one_of(*alike), x, axis=axis)


def _split(b: ModelBuilder, x: str) -> str:
    axis = b.integer(1, 3)
    extent = b.shape(x)[axis]
    if extent < 3:
        return _activation(b, x)
    first = b.integer(1, extent - 1)
    b.add("Split", x, b.indices(first, extent - first), outputs=2, axis=axis)
    return f"t{len(b.tensors) - b.integer(1, 2)}"


def _slice(b: ModelBuilder, x: str) -> str:
    axis = b.integer(1, 3)
    extent = b.shape(x)[axis]
    start = b.integer(0, extent - 1)
    stop = b.integer(start + 1, extent)
    return b.add(
        "Slice", x, b.indices(start), b.indices(stop), b.indices(axis), b.indices(b.integer(1, 2))
    )


def _pad(b: ModelBuilder, x: str) -> str:
    mode = b.one_of("constant", "reflect", "edge")
    limit = 2 if mode == "reflect" and min(b.shape(x)[2:]) < 4 else 3
    pads = [0, 0, b.integer(0, limit), b.integer(0, 1), 0, 0, b.integer(0, limit), b.integer(0, 1)]
    return b.add("Pad", x, b.indices(*pads), mode=mode)


def _resize(b: ModelBuilder, x: str) -> str:
    mode = b.one_of("nearest", "linear", "cubic")
    if mode == "cubic" and b.has("Transpose"):
        mode = "linear"  # ONNX Runtime moves a transpose through it to where it refuses to run.
    scales = np.array([1, 1, b.one_of(2, 0.5, 1.5), b.one_of(2, 1, 0.75)], np.float32)
    rule = b.one_of("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
    b.has_cubic |= mode == "cubic"
    return b.add(
        "Resize", x, "", b.constant(scales), mode=mode, coordinate_transformation_mode=rule
    )


def _depth_space(b: ModelBuilder, x: str) -> str:
    _, channels, rows, columns = b.shape(x)
    if channels % 4 == 0 and b.one_of(True, False):
        return b.add("DepthToSpace", x, blocksize=2, mode=b.one_of("DCR", "CRD"))
    if rows % 2 or columns % 2:
        return _activation(b, x)
    return b.add("SpaceToDepth", x, blocksize=2)


def _transpose(b: ModelBuilder, x: str) -> str:
    if b.has_cubic:
        return _activation(b, x)
    return b.add("Transpose", x, perm=b.draw(st.permutations(range(4))))


def _channel_shuffle(b: ModelBuilder, x: str) -> str:
    batch, channels, rows, columns = b.shape(x)
    if channels % 2 or b.has_cubic:
        return _activation(b, x)
    apart = b.add("Reshape", x, b.indices(batch, 2, channels // 2, rows, columns))
    swapped = b.add("Transpose", apart, perm=[0, 2, 1, 3, 4])
    return b.add("Reshape", swapped, b.indices(batch, channels, rows, columns))


def _softmax(b: ModelBuilder, x: str) -> str:
    return b.add("Softmax", x, axis=b.integer(1, 3))


def _normalisation(b: ModelBuilder, x: str) -> str:
    channels = b.shape(x)[1]
    vectors = [b.weight(channels), b.weight(channels)]
    if b.one_of(True, False):
        variance = b.constant(b.generator.random(channels, np.float32) + np.float32(0.5))
        return b.add("BatchNormalization", x, *vectors, b.weight(channels), variance)
    return b.add("InstanceNormalization", x, *vectors, epsilon=0.01)


def _response(b: ModelBuilder, x: str) -> str:
    if np.isnan(b.tensors[x]).any():
        return _activation(b, x)  # ONNX Runtime's running sum carries it through all channels.
    return b.add("LRN", x, size=b.one_of(3, 5), alpha=0.1)


def _scaled_by_reduction(b: ModelBuilder, x: str) -> str:
    kind = b.one_of("ReduceMean", "ReduceSum", "ReduceL2", "ReduceMax")
    if kind == "ReduceMax" and np.isnan(b.tensors[x]).any():
        kind = "ReduceMean"
    axes = b.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True))
    reduced = b.add(kind, x, b.indices(*axes), keepdims=1)
    return b.add("Mul", x, b.add("Tanh", reduced))


def _squeeze_and_excite(b: ModelBuilder, x: str) -> str:
    channels = b.shape(x)[1]
    pooled = b.add("GlobalAveragePool", x)
    squeezed = b.add("Relu", b.add("Conv", pooled, b.weight(2, channels, 1, 1), b.weight(2)))
    gate = b.add("Sigmoid", b.add("Conv", squeezed, b.weight(channels, 2, 1, 1)))
    return b.add("Mul", x, gate)


STEPS: tuple[Callable[[ModelBuilder, str], str], ...] = (
    _convolution,
    _transposed_convolution,
    _pool,
    _activation,
    _with_constant,
    _residual,
    _concat,
    _split,
    _slice,
    _pad,
    _resize,
    _depth_space,
    _transpose,
    _channel_shuffle,
    _softmax,
    _normalisation,
    _response,
    _scaled_by_reduction,
    _squeeze_and_excite,
)


@st.composite
def models(draw: Draw) -> Example:
    """A model of one input with two to eight steps, and a value of the input, NaNs in some.

    Every step follows the newest tensor or an older one, so that some have several readers.
    """
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    builder = ModelBuilder(draw, generator)
    shape = [draw(st.integers(low, high)) for low, high in ((1, 2), (2, 6), (8, 16), (6, 12))]
    x = generator.standard_normal(shape, np.float32)
    if draw(st.integers(0, 4)) == 0:
        x.flat[generator.integers(0, x.size, 3)] = np.nan
    builder.tensors["x"] = x
    newest = "x"
    for _ in range(draw(st.integers(2, 8))):
        older = [name for name, value in builder.tensors.items() if value.ndim == 4]
        source = draw(st.sampled_from(older)) if draw(st.integers(0, 3)) == 0 else newest
        newest = draw(st.sampled_from(STEPS))(builder, source)
    made = [name for node in builder.nodes for name in node.output]
    read = {name for node in builder.nodes for name in node.input}
    outputs = [name for name in made if name not in read]
    used = {name: builder.constants[name] for name in builder.constants if name in read}
    return Example(make_model(builder.nodes, {"x": x}, used, OPSET, outputs), {"x": x})


@st.composite
def partitions(draw: Draw, whole: Region, parts: int) -> list[Region]:
    """At most so many disjoint boxes that cover a tensor: one of them is cut in two at a time."""
    boxes = [whole]
    while len(boxes) < parts:
        cuttable = [box for box in boxes if box.size > 1]
        if not cuttable:
            break
        box = draw(st.sampled_from(cuttable))
        axis = draw(st.sampled_from([a for a, (lo, hi) in enumerate(box) if hi - lo > 1]))
        lo, hi = box[axis]
        cut = draw(st.integers(lo + 1, hi - 1))
        boxes.remove(box)
        boxes += [box.replace(axis, (lo, cut)), box.replace(axis, (cut, hi))]
    return boxes


@st.composite
def regions(draw: Draw, whole: Region) -> Region:
    """A random box of a tensor."""
    intervals = []
    for lo, hi in whole:
        start = draw(st.integers(lo, hi - 1))
        intervals.append((start, draw(st.integers(start + 1, hi))))
    return Region(intervals)
