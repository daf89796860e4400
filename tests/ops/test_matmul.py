"""Matrix products in parts: rows, columns, batches."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tests.splitting import check_node

RANDOM = np.random.default_rng(23)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def unsigned(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("addend", [None, (), (1,), (7,), (1, 7), (6, 1), (6, 7)])
def test_gemm(addend: tuple[int, ...] | None) -> None:
    for trans_a, trans_b in product((0, 1), (0, 1)):
        inputs: list[np.ndarray | None] = [
            floats(*((5, 6) if trans_a else (6, 5))),
            floats(*((7, 5) if trans_b else (5, 7))),
        ]
        if addend is not None:
            inputs.append(np.asarray(floats(*addend)))
        attributes = {"transA": trans_a, "transB": trans_b, "alpha": 0.5, "beta": 0.3}
        assert not check_node("Gemm", inputs, attributes).whole


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((6, 5), (5, 7)),
        ((2, 6, 5), (5, 7)),
        ((6, 5), (3, 5, 7)),
        ((2, 1, 6, 5), (3, 5, 7)),
        ((2, 3, 6, 5), (1, 3, 5, 7)),
        ((5,), (5, 7)),
        ((6, 5), (5,)),
        ((5,), (2, 5, 7)),
        ((2, 6, 5), (5,)),
        ((5,), (5,)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("variable", [(0,), (1,), (0, 1)])
def test_matmul(first: tuple[int, ...], second: tuple[int, ...], variable: tuple[int, ...]) -> None:
    inputs = [np.asarray(floats(*first)), floats(*second)]
    assert not check_node("MatMul", inputs, variable=variable).whole


@pytest.mark.parametrize("per_column", [False, True])
def test_integer_products(per_column: bool) -> None:
    point = np.array(9, np.uint8)
    points = unsigned(7) if per_column else np.array(7, np.uint8)
    inputs = [unsigned(2, 6, 5), unsigned(5, 7), point, points]
    assert not check_node("MatMulInteger", inputs).whole
    scale = np.float32(0.1)
    scales = RANDOM.uniform(0.01, 0.2, 7).astype(np.float32) if per_column else scale
    weights = RANDOM.integers(-128, 128, (5, 7)).astype(np.int8)
    zeros = np.zeros(7 if per_column else (), np.int8)
    quantized = [unsigned(6, 5), scale, point, weights, scales, zeros, np.float32(3), point]
    assert not check_node("QLinearMatMul", quantized).whole
    bias = RANDOM.integers(-99, 99, 7).astype(np.int32)
    gemm = [unsigned(6, 5), scale, point, weights, scales, zeros, bias, np.float32(0.5), point]
    assert not check_node("QGemm", gemm, {"alpha": 1.0}, domain="com.microsoft").whole


@pytest.mark.parametrize(
    ("equation", "shapes", "is_split"),
    [
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)], True),
        ("bhwc,cd->bdhw", [(1, 4, 3, 2), (2, 5)], True),
        ("ij->ji", [(3, 4)], True),
        ("ij,jk", [(3, 4), (4, 5)], False),
        ("...ij->...ji", [(2, 3, 4)], False),
        ("ii->i", [(3, 3)], False),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]], is_split: bool) -> None:
    inputs = [floats(*shape) for shape in shapes]
    count = check_node("Einsum", inputs, {"equation": equation}, variable=range(len(shapes)))
    assert (count.whole == 0) == is_split
