"""What the families stand on: pooling, statistics and random numbers."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from swath.zoo.builder import Network
from swath.zoo.errors import InvalidSize
from swath.zoo.moments import UNIT, Moments, after, mixture, product, total
from swath.zoo.pooling import windows
from swath.zoo.weights import WeightStream

Array = NDArray[np.float32]


def run(model: onnx.ModelProto, image: Array) -> Array:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (output,) = session.run(["output"], {"input": image})
    assert isinstance(output, np.ndarray)
    return output


def image_of(*shape: int) -> Array:
    return np.random.default_rng(3).standard_normal(shape, np.float32)


def adaptive_reference(image: Array, bins: int) -> Array:
    """torch's definition, bin by bin."""
    height, width = image.shape[2:]
    output = np.empty((*image.shape[:2], bins, bins), np.float32)
    for row in range(bins):
        top, bottom = math.floor(row * height / bins), math.ceil((row + 1) * height / bins)
        for column in range(bins):
            left, right = math.floor(column * width / bins), math.ceil((column + 1) * width / bins)
            output[:, :, row, column] = image[:, :, top:bottom, left:right].mean(axis=(2, 3))
    return output


@pytest.mark.parametrize(
    ("height", "width", "bins", "operators"),
    [
        (14, 21, 7, ["AveragePool"]),
        (7, 21, 7, ["AveragePool"]),
        (9, 30, 1, ["GlobalAveragePool"]),
        (9, 14, 7, ["Constant", "Constant", "MatMul", "MatMul"]),
        (8, 13, 6, ["Constant", "Constant", "MatMul", "MatMul"]),
        (1, 3, 7, ["Constant", "Constant", "MatMul", "MatMul"]),
    ],
)
def test_adaptive_average_pool(height: int, width: int, bins: int, operators: list[str]) -> None:
    image = image_of(2, 3, height, width)
    network = Network("pool", 0)
    value = network.adaptive_average_pool(network.input((2, 3, height, width)), bins)
    model = network.finish(value)
    assert sorted(node.op_type for node in model.graph.node) == operators
    output = run(model, image)
    assert output.shape == value.shape
    np.testing.assert_allclose(output, adaptive_reference(image, bins), rtol=1e-5, atol=1e-6)


def test_adaptive_average_pool_of_the_right_size_is_nothing() -> None:
    network = Network("pool", 0)
    image = network.input((1, 3, 7, 7))
    assert network.adaptive_average_pool(image, 7) is image


@pytest.mark.parametrize(
    ("extent", "kernel", "stride", "padding", "ceil", "expected"),
    [
        (224, 7, 2, 6, False, 112),
        (112, 3, 2, 2, False, 56),
        (112, 3, 2, 0, True, 56),
        (7, 2, 2, 0, True, 4),
        (7, 2, 2, 0, False, 3),
        (2, 3, 2, 0, True, 1),
        (13, 2, 1, 1, False, 13),
    ],
)
def test_windows(
    extent: int, kernel: int, stride: int, padding: int, ceil: bool, expected: int
) -> None:
    assert windows("layer", extent, kernel, stride, padding, ceil=ceil) == expected


def test_windows_names_what_collapses() -> None:
    with pytest.raises(InvalidSize, match="conv5: its window of 3 does not fit a map of 2"):
        windows("conv5", 2, 3, 1, 0)


def test_space_to_depth_needs_a_multiple() -> None:
    network = Network("depth", 0)
    with pytest.raises(InvalidSize, match="5x4 is not a multiple of 2"):
        network.space_to_depth(network.input((1, 3, 5, 4)), 2)


def test_moments() -> None:
    relu = after(lambda x: np.maximum(x, 0.0), UNIT)
    assert relu.mean == pytest.approx(1 / math.sqrt(2 * math.pi), rel=0.01)
    assert relu.energy == pytest.approx(0.5, rel=0.03)
    assert total(relu, UNIT) == Moments(relu.mean, relu.variance + 1.0)
    assert product(relu, UNIT) == Moments(0.0, relu.energy)
    assert mixture([Moments(2.0, 0.0), Moments(0.0, 0.0)], [1, 1]) == Moments(1.0, 1.0)


def test_layers_keep_the_estimated_moments() -> None:
    network = Network("chain", 0)
    value = network.input((1, 64, 16, 16))
    for index in range(8):
        value = network.relu(network.conv(value, f"conv{index}", 64, 3, padding=1))
    output = run(network.finish(value), image_of(1, 64, 16, 16))
    assert np.mean(output**2) == pytest.approx(value.moments.energy, rel=0.5)


@pytest.mark.parametrize("count", [1, 2, 7, 1 << 17, (1 << 17) + 3])
def test_weight_stream(count: int) -> None:
    values = np.frombuffer(WeightStream("name", 5).uniform(count, 1.0, 0.25), np.float32)
    assert values.shape == (count,)
    assert values.min() >= 0.75
    assert values.max() <= 1.25
    if count > 1000:
        assert values.mean() == pytest.approx(1.0, abs=0.01)
        assert values.var() == pytest.approx(0.25**2 / 3, rel=0.02)
    again = np.frombuffer(WeightStream("name", 5).uniform(count, 1.0, 0.25), np.float32)
    np.testing.assert_array_equal(values, again)
