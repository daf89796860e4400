"""Every zoo model, split among 2 to 7 devices by rows, columns, a grid and channels, pairwise.

Each model meets every count and every way, and each way every count. Every stage's tensors are
compared, and hardly any operation may be left to one device.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import swath
from swath import zoo
from swath.graph.load import load_onnx
from swath.planners.building.layouts import MODES

COUNTS = range(2, 8)
SIZE = 64
LEAST_SPLIT = 0.99

SLOW = {"resnet50", "resnet101", "resnet152", "densenet121", "vgg13", "vgg16", "vgg19", "yolov2"}
"""Of these all cases but one run only where time is no matter, of the others all but two (of
different counts and ways)."""

DEEPER = {"resnet101", "resnet152"}
"""The same blocks as in ResNet-50, only more of them: never where time matters."""

FEATURES = 4096
KEPT_FEATURES = 128
"""The FC layers of AlexNet and VGG hold 500 MB of weights, which would take most of the time."""


def pairwise() -> list[object]:
    cases = []
    for row, name in enumerate(zoo.NAMES):
        for count in COUNTS:
            mode = MODES[(count + row) % len(MODES)]
            quick = count in ((2 + row % 6,) if name in SLOW else (2 + row % 3, 5 + row % 3))
            marks = () if quick and name not in DEEPER else (pytest.mark.slow,)
            cases.append(pytest.param(name, count, mode, marks=marks))
    return cases


def test_the_cases_are_pairwise() -> None:
    values = [case.values for case in pairwise()]  # type: ignore[attr-defined]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert len({(case[first], case[second]) for case in values}) == len(
            {case[first] for case in values}
        ) * len({case[second] for case in values})


@lru_cache(maxsize=1)
def small(name: str) -> swath.Graph:
    return load_onnx(narrowed(zoo.build(name, SIZE, SIZE, seed=1)))


def narrowed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with fewer features in the FC layers that have 4096."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Gemm":
            continue
        for name in node.input[1:]:
            array = numpy_helper.to_array(weights[name])
            kept = tuple(
                slice(KEPT_FEATURES if extent == FEATURES else extent) for extent in array.shape
            )
            if array[kept].shape != array.shape:
                cut = numpy_helper.from_array(np.ascontiguousarray(array[kept]), name)
                weights[name].CopyFrom(cut)
    return model


@pytest.mark.parametrize(("name", "count", "mode"), pairwise())
def test_split_as_unsplit(name: str, count: int, mode: str) -> None:
    found = swath.verify(small(name), tiles=count, split=mode)
    assert found.within_tolerance, found.worst
    assert found.split_flops_share >= LEAST_SPLIT
