"""Pools, in parts: ceil mode, padding that counts and padding that does not, dilation."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.splitting import check_node

RANDOM = np.random.default_rng(21)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("opset", [11, 22])
@pytest.mark.parametrize("include_pad", [0, 1])
@pytest.mark.parametrize("ceil", [0, 1])
def test_average_pool_counts_what_the_unsplit_pool_counts(
    opset: int, include_pad: int, ceil: int
) -> None:
    for kernel, stride, pads in product((2, 3, 4), (1, 2, 3, 5), ([0] * 4, [1] * 4, [0, 1, 1, 0])):
        attributes = {
            "kernel_shape": [kernel, kernel],
            "strides": [stride, stride],
            "pads": pads,
            "ceil_mode": ceil,
            "count_include_pad": include_pad,
        }
        assert not check_node("AveragePool", [floats(1, 2, 10, 9)], attributes, opset=opset).whole


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("dilation", [2, 3])
def test_dilated_pools(operator: str, ceil: int, dilation: int) -> None:
    for kernel, stride in product((2, 3), (1, 2, 3)):
        attributes = {
            "kernel_shape": [kernel, 2],
            "strides": [stride, 1],
            "dilations": [dilation, dilation],
            "pads": [1, 1, kernel - 1, 0],
            "ceil_mode": ceil,
        }
        assert not check_node(operator, [floats(1, 2, 11, 9)], attributes, opset=22).whole


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(operator: str, auto_pad: str) -> None:
    for kernel, stride in product((2, 3), (1, 2)):
        attributes = {
            "kernel_shape": [kernel, kernel],
            "strides": [stride, stride],
            "auto_pad": auto_pad,
        }
        assert not check_node(operator, [floats(1, 2, 11, 8)], attributes).whole


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((2, 3, 13), {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}),
        ((1, 2, 7, 6, 5), {"kernel_shape": [2, 3, 2], "strides": [2, 1, 2], "ceil_mode": 1}),
        ((1, 2, 20, 20), {"kernel_shape": [2, 2], "strides": [5, 4]}),
        ((1, 2, 6, 6), {"kernel_shape": [6, 6], "pads": [5, 5, 5, 5], "strides": [3, 3]}),
    ],
)
@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_pool_shapes(operator: str, shape: tuple[int, ...], attributes: dict[str, Any]) -> None:
    assert not check_node(operator, [floats(*shape)], attributes).whole


@pytest.mark.parametrize("special", [np.inf, -np.inf])
@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_infinities(operator: str, special: float) -> None:
    data = floats(1, 2, 8, 8)
    data[0, 0, 3, 3] = data[0, 1, 7, 7] = special
    check_node(operator, [data], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})


def test_same_padding_that_onnx_runtime_reads_in_its_own_way_is_not_split_along_the_map() -> None:
    attributes = {"kernel_shape": [1], "strides": [4], "auto_pad": "SAME_UPPER"}
    assert not check_node("AveragePool", [floats(1, 1, 12)], attributes, opset=22).split
    dilated = {"kernel_shape": [2], "dilations": [3], "auto_pad": "SAME_LOWER"}
    assert not check_node("MaxPool", [floats(1, 1, 12)], dilated, opset=22).split


def test_indices_of_a_max_pool_count_in_the_whole_map() -> None:
    count = check_node("MaxPool", [floats(1, 2, 8, 8)], {"kernel_shape": [2, 2]}, outputs=2)
    assert count.split, "the values alone can be split"
    assert count.whole, "the indices cannot"


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
def test_global_pools_split_batch_and_channels(operator: str) -> None:
    assert not check_node(operator, [floats(3, 5, 4, 4)]).whole


def test_quantized_pools() -> None:
    data = RANDOM.integers(0, 256, (1, 3, 9, 8)).astype(np.uint8)
    scale, point = np.float32(0.1), np.array(5, np.uint8)
    inputs = [data, scale, point, scale, point]
    window = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1], "ceil_mode": 1}
    assert check_node("QLinearAveragePool", inputs, window, domain="com.microsoft").split
    channels = {"channels_last": 0}
    assert check_node("QLinearGlobalAveragePool", inputs, channels, domain="com.microsoft").split
