"""The nine published topologies that come with ONNX, as exported by other frameworks in 2017.

Their weights are constants, so that their output does not depend on the input; seeded ones take
their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import prod, sqrt
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import swath
from swath.graph.load import load_onnx
from swath.runtime.plain import PlainRuntime

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
WAYS = ((2, "rows"), (3, "cols"), (4, "grid"), (2, "channels"))
QUICK = {
    "bvlc_alexnet": (0,),
    "densenet121": (),
    "inception_v1": (2,),
    "inception_v2": (3,),
    "resnet50": (2,),
    "shufflenet": (0,),
    "squeezenet": (1, 3),
    "vgg19": (),
    "zfnet512": (),
}
"""Which of the ways are tried at once; the others take their time."""

LEAST_SPLIT = 0.99
LARGE = ("bvlc_alexnet", "vgg19", "zfnet512")
"""These are made of hundreds of megabytes."""


def cases() -> list[object]:
    return [
        pytest.param(name, *way, marks=() if index in quick else (pytest.mark.slow,))
        for name, quick in QUICK.items()
        for index, way in enumerate(WAYS)
    ]


@lru_cache(maxsize=1)
def graph_of(name: str) -> swath.Graph:
    return load_onnx(with_seeded_weights(onnx.load(FOLDER / f"light_{name}.onnx")))


def with_seeded_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with random weights of a scale that keeps activations near 1."""
    given = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    shapes = {name: array.shape for name, array in given.items() if array.dtype == np.float32}
    kept = []
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape":
            shapes[node.output[0]] = tuple(int(extent) for extent in given[node.input[0]])
        else:
            kept.append(node)
    model.graph.ClearField("node")
    model.graph.node.extend(kept)
    random = np.random.default_rng(7)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in kept:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    seeded = {name: drawn(name, shape, readers, random) for name, shape in shapes.items()}
    others = [tensor for tensor in model.graph.initializer if tensor.name not in seeded]
    model.graph.ClearField("initializer")
    model.graph.initializer.extend(others)
    model.graph.initializer.extend(
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in seeded.items()
    )
    return model


def drawn(
    name: str,
    shape: tuple[int, ...],
    readers: Mapping[str, list[onnx.NodeProto]],
    random: np.random.Generator,
) -> np.ndarray:
    """Filters and matrices keep the variance, also through a Relu; what is added to a shortcut is
    small; factors and variances are near 1, and all else is near 0."""
    (node, *_) = readers.get(name, [onnx.NodeProto()])
    position = list(node.input).index(name) if name in node.input else 0
    if node.op_type == "Unsqueeze":  # gives a factor or a summand of every channel its shape
        (node, *_) = readers[node.output[0]]
    behind = {reader.op_type for output in node.output for reader in readers.get(output, [])}
    if node.op_type in ("Conv", "Gemm") and position == 1:
        gain = 1 if behind & {"Reshape", "Softmax", "Sum"} else 2
        return random.standard_normal(shape) * sqrt(gain / prod(shape[1:]))
    if node.op_type == "BatchNormalization" and position == 1 and "Sum" in behind:
        return random.uniform(0.2, 0.3, shape)
    if node.op_type == "Mul" or (node.op_type == "BatchNormalization" and position in (1, 4)):
        return random.uniform(0.8, 1.2, shape)
    return random.normal(0, 0.1, shape)


def test_every_model_is_here() -> None:
    assert {path.stem.removeprefix("light_") for path in FOLDER.glob("*.onnx")} == set(QUICK)


@pytest.mark.parametrize(("name", "tiles", "split"), cases())
def test_split_as_unsplit(name: str, tiles: int, split: str) -> None:
    graph = graph_of(name)
    found = swath.verify(graph, tiles=tiles, split=split)
    assert found.within_tolerance, found.worst
    assert found.split_flops_share >= LEAST_SPLIT


@pytest.mark.parametrize("name", [name for name in QUICK if name not in LARGE])
def test_the_output_depends_on_the_input(name: str) -> None:
    graph = graph_of(name)
    outputs = []
    for seed in (1, 2):
        # Patches, since of fine noise the mean over a map is always the same.
        patches = np.random.default_rng(seed).standard_normal((1, 3, 4, 4), dtype=np.float32)
        data = patches.repeat(56, axis=2).repeat(56, axis=3)
        (made,) = PlainRuntime(graph).run({graph.inputs[0]: data}).values()
        outputs.append(made)
    assert np.isfinite(outputs).all()
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3 * np.abs(outputs[0]).max()
