"""The checks have teeth: a slab that is off by one entry is noticed, whatever the operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swath.graph.build import build_graph
from swath.ops import Demand, Operator
from swath.ops.rule import Regions
from tests.splitting import check_split, node_model, prepared

RANDOM = np.random.default_rng(26)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


MAP = floats(1, 4, 12, 9)
WINDOW = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}

CASES: list[tuple[str, list[np.ndarray | None], dict[str, Any], int]] = [
    ("Conv", [MAP, floats(4, 4, 3, 3)], WINDOW, 2),
    ("Conv", [MAP, floats(4, 4, 3, 3)], {**WINDOW, "strides": [2, 2]}, 3),
    ("Conv", [MAP, floats(4, 1, 3, 3)], {**WINDOW, "group": 4}, 1),
    ("ConvTranspose", [MAP, floats(4, 4, 3, 3)], {"strides": [2, 2]}, 2),
    ("MaxPool", [MAP], WINDOW, 2),
    ("AveragePool", [MAP], {**WINDOW, "strides": [2, 2], "ceil_mode": 1}, 3),
    ("LpPool", [MAP], WINDOW, 2),
    ("LRN", [floats(1, 9, 4, 4)], {"size": 3, "alpha": 0.5}, 1),
    ("Pad", [MAP, integers(0, 0, 2, 2, 0, 0, 2, 2)], {"mode": "reflect"}, 2),
    ("Pad", [MAP, integers(0, 0, 2, 2, 0, 0, 2, 2)], {}, 2),
    ("Slice", [MAP, integers(11), integers(-99), integers(2), integers(-2)], {}, 2),
    ("Gather", [MAP, integers(3, 1, 5, 7, 2, 9)], {"axis": 2}, 2),
    ("Tile", [MAP, integers(1, 1, 2, 1)], {}, 2),
    ("Concat", [MAP, MAP], {"axis": 1}, 2),
    ("Transpose", [MAP], {"perm": [0, 2, 3, 1]}, 2),
    ("DepthToSpace", [MAP], {"blocksize": 2}, 2),
    ("SpaceToDepth", [floats(1, 2, 12, 8)], {"blocksize": 2}, 2),
    ("Reshape", [MAP, integers(1, 4, 108)], {}, 2),
    ("Softmax", [MAP], {"axis": 1}, 2),
    ("ReduceMean", [MAP], {"axes": [3]}, 2),
    ("GlobalAveragePool", [MAP], {}, 1),
    ("BatchNormalization", [MAP, *(np.abs(floats(4)) for _ in range(4))], {}, 2),
    ("InstanceNormalization", [MAP, floats(4), floats(4)], {}, 1),
    ("LayerNormalization", [MAP, floats(9)], {}, 2),
    ("MatMul", [floats(6, 5), floats(5, 7)], {}, 0),
    ("Gemm", [floats(6, 5), floats(5, 7)], {}, 0),
    ("Relu", [MAP], {}, 2),
]


@pytest.mark.parametrize(("operator", "inputs", "attributes", "axis"), CASES)
def test_a_slab_off_by_one_is_noticed(
    operator: str,
    inputs: list[np.ndarray | None],
    attributes: dict[str, Any],
    axis: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, feeds = node_model(operator, inputs, attributes)
    check_split(model, feeds, parts=(3,), boxes=0)
    rule = build_graph(prepared(model)).rules[0]
    demand = type(rule).demand

    def off_by_one(self: Any, op: Operator, wanted: Regions) -> Demand:
        right = demand(self, op, wanted)
        region = right.inputs[0]
        if region is None:
            return right
        lo, hi = region[axis]
        shift = 1 if hi < op.input_shape()[axis] else -1
        if lo + shift < 0:
            return right
        moved = region.replace(axis, (lo + shift, hi + shift))
        return Demand(right.outputs, (moved, *right.inputs[1:]))

    monkeypatch.setattr(type(rule), "demand", off_by_one)
    with pytest.raises(Exception, match=r"differs|\) is not \(|INVALID_ARGUMENT|out of"):
        check_split(model, feeds, parts=(3,), boxes=0)
