"""The cases that others refuse or get wrong: windows of every kind, cut every way, exact each time.

PyTorch's DTensor refuses dilation, and padding with a stride above 1, and splits evenly only;
NVIDIA's ShardTensor expects to fail on padding with a stride above 1, on even kernels and on odd
transposed ones. Every case here is cut into one part, into uneven parts, and into more parts than
there are rows (so into slabs of one row, thinner than any halo), along rows and along columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pytest
from onnx import helper

from swath.ops import Interval, Region, split_by_shares, split_evenly
from tests.tiles import build, compare_regions, make_model, run_all

ROWS, COLUMNS, CHANNELS = 17, 14, 4
KERNELS = (1, 2, 3, 4, 5, 6, 7)
STRIDES = (1, 2, 3, 4)
PADDINGS = ("none", "same", "asymmetric")
DILATIONS = (1, 2, 3)


@dataclass(frozen=True)
class Case:
    """One operator with a window, on a map of 17 x 14."""

    type: str
    kernel: int
    attributes: dict[str, Any] = field(default_factory=dict)
    weight: tuple[int, ...] | None = None
    opset: int = 17

    def __str__(self) -> str:
        named = ((key, value) for key, value in self.attributes.items() if key != "kernel_shape")
        attributes = "-".join(f"{key}={value}" for key, value in named).replace(" ", "")
        return f"{self.type}-k{self.kernel}-{attributes}"


def padding(kind: str, kernel: int, dilation: int) -> list[int]:
    """Begin and end of rows and columns, each smaller than the window."""
    span = dilation * (kernel - 1)
    if kind == "none":
        return [0, 0, 0, 0]
    if kind == "same":
        return [span // 2, span // 2, span - span // 2, span - span // 2]
    return [min(kernel - 1, 2), 0, min(kernel - 1, 1), min(kernel - 1, 3)]


def window(kernel: int, stride: int, pads: str, dilation: int) -> dict[str, Any]:
    return {
        "strides": [stride, stride % 2 + 1],
        "pads": padding(pads, kernel, dilation),
        "dilations": [dilation, dilation],
    }


def fits(kernel: int, dilation: int, pads: str) -> bool:
    """Whether the window fits into the padded map, which ONNX demands."""
    span = dilation * (kernel - 1) + 1
    top, left, bottom, right = padding(pads, kernel, dilation)
    return span <= ROWS + top + bottom and span <= COLUMNS + left + right


def convolutions() -> Iterator[Case]:
    for kernel, stride, pads, dilation, group in product(
        KERNELS, STRIDES, PADDINGS, DILATIONS, (1, CHANNELS)
    ):
        if fits(kernel, dilation, pads):
            attributes = {**window(kernel, stride, pads, dilation), "group": group}
            weight = (CHANNELS, CHANNELS // group, kernel, kernel)
            yield Case("Conv", kernel, attributes, weight)


def transposed_convolutions() -> Iterator[Case]:
    for kernel, stride, pads, dilation, group in product(
        KERNELS, STRIDES, ("none", "asymmetric"), (1, 3), (1, CHANNELS)
    ):
        attributes = {**window(kernel, stride, pads, dilation), "group": group}
        if stride > 1 and kernel % 2:
            attributes["output_padding"] = [stride - 1, 0]
        weight = (CHANNELS, CHANNELS // group, kernel, kernel)
        yield Case("ConvTranspose", kernel, attributes, weight)


def pools() -> Iterator[Case]:
    for kernel, stride, pads, ceil in product(KERNELS, STRIDES, PADDINGS, (0, 1)):
        common = {"kernel_shape": [kernel, kernel], "ceil_mode": ceil}
        for dilation in DILATIONS if ceil == kernel % 2 else (1,):
            if fits(kernel, dilation, pads) and max(padding(pads, kernel, dilation)) < kernel:
                yield Case("MaxPool", kernel, {**common, **window(kernel, stride, pads, dilation)})
        for include, dilation in ((0, 1), (1, 1), (1, 2)):
            if dilation > 1 and not (stride == 2 and fits(kernel, dilation, pads)):
                continue
            if max(padding(pads, kernel, dilation)) < kernel:
                average = {**common, **window(kernel, stride, pads, dilation)}
                average["count_include_pad"] = include
                yield Case("AveragePool", kernel, average, opset=19)
        if ceil == 0:
            norm = {**window(kernel, stride, pads, 1), "kernel_shape": [kernel, kernel], "p": 2}
            del norm["dilations"]
            yield Case("LpPool", kernel, norm)


def auto_padded() -> Iterator[Case]:
    for kernel, stride, auto in product(KERNELS, STRIDES, ("SAME_UPPER", "SAME_LOWER", "VALID")):
        attributes = {"strides": [stride, stride], "auto_pad": auto}
        yield Case("Conv", kernel, attributes, (CHANNELS, CHANNELS, kernel, kernel))
        if kernel == 1 and stride > 1 and auto != "VALID":
            continue  # ONNX Runtime itself refuses such a pool.
        pool = {**attributes, "kernel_shape": [kernel, kernel]}
        yield Case("MaxPool", kernel, pool)
        yield Case("AveragePool", kernel, pool)


CASES = {
    str(case): case
    for case in (*convolutions(), *transposed_convolutions(), *pools(), *auto_padded())
}


def slabs(extent: int) -> dict[Interval, None]:
    """The parts of one device, of three uneven ones, and of more than there are rows (of these the
    two at each end and the one in the middle, the rest being much the same)."""
    uneven = split_by_shares(extent, (1, 5, 3))
    thin = [part for part in split_evenly(extent, extent + 2) if part[0] < part[1]]
    some = thin if len(thin) < 6 else [*thin[:2], thin[len(thin) // 2], *thin[-2:]]
    return dict.fromkeys(part for part in ((0, extent), *uneven, *some) if part[0] < part[1])


@pytest.fixture(scope="module")
def tally() -> Iterator[list[int]]:
    """How many parts were equal to the last bit; ``pytest -s`` shows it."""
    counts = [0, 0]
    yield counts
    print(f"\nacceptance matrix: {counts[0]} of {counts[1]} parts equal to the last bit")


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_part_equals_the_whole(case: Case, tally: list[int]) -> None:
    x = random(1, CHANNELS, ROWS, COLUMNS)
    constants = {}
    if case.weight is not None:
        constants = {"w": random(*case.weight, seed=1), "b": random(CHANNELS, seed=2)}
    node = helper.make_node(case.type, ["x", *constants], ["y"], **case.attributes)
    model = make_model([node], {"x": x}, constants, case.opset)
    tensors = run_all(model, {"x": x})
    graph = build(model, tensors)
    whole = Region.whole(tensors["y"].shape)
    rows, columns = whole.shape[2:]
    regions = [whole.replace(2, part) for part in slabs(rows)]
    regions += [whole.replace(3, part) for part in split_by_shares(columns, (2, 1))
                if part[0] < part[1]]  # fmt: skip
    exact, count = compare_regions(graph, "y", regions, tensors)
    tally[0] += exact
    tally[1] += count
