"""Entry by entry: broadcasting, and operators that only look like it. Quantised ones too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.splitting import check_node

RANDOM = np.random.default_rng(25)


def floats(*shape: int) -> np.ndarray:
    return np.asarray(RANDOM.standard_normal(shape, dtype=np.float32))


def unsigned(*shape: int) -> np.ndarray:
    return np.asarray(RANDOM.integers(0, 256, shape).astype(np.uint8))


@pytest.mark.parametrize(
    "other", [(), (1,), (4,), (3, 1), (2, 1, 4), (5, 1, 3, 4), (1, 1, 1, 1, 1)]
)
def test_broadcasting(other: tuple[int, ...]) -> None:
    for variable in ((0,), (0, 1)):
        assert not check_node("Add", [floats(2, 3, 4), floats(*other)], variable=variable).whole
    condition = floats(3, 1) > 0
    inputs = [condition, floats(2, 3, 4), floats(*other)]
    assert not check_node("Where", inputs, variable=(0, 1, 2)).whole


@pytest.mark.parametrize("slope", [(), (1,), (4,), (3, 1, 1), (1, 3, 1, 1)])
def test_prelu(slope: tuple[int, ...]) -> None:
    assert not check_node("PRelu", [floats(2, 3, 2, 4), floats(*slope)], variable=(0, 1)).whole


def test_clip_takes_its_bounds_as_tensors_or_attributes() -> None:
    low, high = np.array(-0.5, np.float32), np.array(0.5, np.float32)
    assert not check_node("Clip", [floats(4, 5), low, high]).whole
    assert not check_node("Clip", [floats(4, 5), None, high], variable=(0, 2)).whole
    assert not check_node("Clip", [floats(4, 5)], {"min": -0.5, "max": 0.5}, opset=9).whole


def test_casts() -> None:
    assert not check_node("Cast", [floats(4, 5)], {"to": 7}).whole
    like = np.zeros((2, 2, 2), np.int32)
    assert not check_node("CastLike", [floats(4, 5), like], variable=(0, 1)).whole


@pytest.mark.parametrize("opset", [10, 13])
@pytest.mark.parametrize("outputs", [1, 2])
def test_dropout_at_inference(opset: int, outputs: int) -> None:
    inputs = [floats(4, 5)] if opset < 12 else [floats(4, 5), np.float32(0.4), np.array(False)]
    assert not check_node("Dropout", inputs, outputs=outputs, opset=opset).whole


@pytest.mark.parametrize("axis", [0, 1, -1, None])
@pytest.mark.parametrize("with_point", [False, True])
def test_quantization_per_tensor_and_per_axis(axis: int | None, with_point: bool) -> None:
    shape = (4, 3, 5)
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    scale = np.asarray(np.abs(floats(*([] if axis is None else [shape[axis]]))) + 0.1)
    point = [unsigned(*scale.shape)] if with_point else []
    assert not check_node("QuantizeLinear", [3 * floats(*shape), scale, *point], attributes).whole
    assert not check_node("DequantizeLinear", [unsigned(*shape), scale, *point], attributes).whole


def test_blocked_quantization_is_whole() -> None:
    inputs = [floats(4, 6), np.abs(floats(4, 3)) + 0.1]
    attributes = {"axis": 1, "block_size": 2}
    assert not check_node("QuantizeLinear", inputs, attributes, opset=21).split


@pytest.mark.parametrize("operator", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("other", [(2, 3, 4), (3, 1), (4,), ()])
def test_quantized_arithmetic(operator: str, other: tuple[int, ...]) -> None:
    scale, point = np.float32(0.1), np.array(5, np.uint8)
    inputs = [unsigned(2, 3, 4), scale, point, unsigned(*other), scale, point, scale, point]
    count = check_node(operator, inputs, domain="com.microsoft", variable=(0, 3))
    assert not count.whole


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.1})],
)
def test_quantized_activations(operator: str, attributes: dict[str, Any]) -> None:
    scale, point = np.float32(0.1), np.array(5, np.uint8)
    inputs = [unsigned(2, 3, 4), scale, point, scale, point]
    assert not check_node(operator, inputs, attributes, domain="com.microsoft").whole


@pytest.mark.parametrize("axis", [1, -1])
def test_quantized_concat(axis: int) -> None:
    scale, point = np.float32(0.1), np.array(5, np.uint8)
    inputs = [scale, point, unsigned(2, 3, 3), scale, point, unsigned(2, 3, 3), scale, point]
    options: dict[str, Any] = {"domain": "com.microsoft", "variable": (2, 5)}
    assert not check_node("QLinearConcat", inputs, {"axis": axis}, **options).whole
