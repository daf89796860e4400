"""What ONNX Runtime's graph optimisations get wrong does not reach a session."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from swath.engine.session import Session, disabled_optimizers
from swath.graph.load import load_onnx
from swath.runtime.plain import PlainRuntime
from tests.splitting import check_loaded

RANDOM = np.random.default_rng(51)


def make_model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int],
    constants: Mapping[str, np.ndarray],
    opset: int = 17,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def padded_pool(operator: str, pad: int, attributes: Mapping[str, Any]) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Pad", ["x", "pads", "value"], ["t"]),
        helper.make_node(operator, ["t"], ["y"], **attributes),
    ]
    pads = np.array([0, 0, pad, pad, 0, 0, pad, pad])
    return make_model(nodes, [1, 2, 8, 9], {"pads": pads, "value": np.zeros((), np.float32)})


WINDOWS = {
    "as wide as the kernel": (3, {"kernel_shape": [3, 3]}),
    "narrower": (1, {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "in ceil mode": (1, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
}


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("case", WINDOWS)
def test_zeros_before_a_pool_stay_zeros(operator: str, case: str) -> None:
    pad, attributes = WINDOWS[case]
    proto = padded_pool(operator, pad, attributes)
    feeds = {"x": -1 - np.abs(RANDOM.standard_normal((1, 2, 8, 9), dtype=np.float32))}
    width = [(0, 0), (0, 0), (pad, pad), (pad, pad)]
    pool = make_model(
        [helper.make_node(operator, ["x"], ["y"], **attributes)],
        [1, 2, 8 + 2 * pad, 9 + 2 * pad],
        {},
    )
    (expected,) = Session(pool.SerializeToString()).run({"x": np.pad(feeds["x"], width)})
    graph = load_onnx(proto)
    assert np.array_equal(Session(proto.SerializeToString()).run(feeds)[0], expected)
    assert np.array_equal(PlainRuntime(graph).run(feeds)["y"], expected)
    assert check_loaded(proto, feeds).split


def test_padding_before_a_convolution_is_still_fused() -> None:
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["t"]),
        helper.make_node("Conv", ["t", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["y"]),
    ]
    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "w": RANDOM.standard_normal((2, 2, 3, 3), dtype=np.float32),
    }
    proto = make_model(nodes, [1, 2, 8, 9], constants)
    assert disabled_optimizers(proto.SerializeToString()) == []
    pooled = padded_pool("MaxPool", 1, {"kernel_shape": [3, 3]})
    assert disabled_optimizers(pooled.SerializeToString()) == ["Pad_Fusion"]


def test_a_model_that_optimisation_makes_unusable_runs_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """ONNX Runtime moves the Transpose through the Resize, which can be cubic along two axes only
    where they are the last or the middle ones."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("Resize", ["t", "e", "s"], ["r"], mode="cubic"),
        helper.make_node("Transpose", ["r"], ["y"], perm=[0, 3, 1, 2]),
    ]
    constants = {"e": np.zeros(0, np.float32), "s": np.array([1, 1, 2, 3], np.float32)}
    proto = make_model(nodes, [1, 4, 5, 2], constants, opset=11)
    feeds = {"x": RANDOM.standard_normal((1, 4, 5, 2), dtype=np.float32)}
    with caplog.at_level(logging.DEBUG, "swath.engine.session"):
        (made,) = Session(proto.SerializeToString()).run(feeds)
    assert "ORT_ENABLE_BASIC" in caplog.text
    resize = make_model(
        [helper.make_node("Resize", ["x", "e", "s"], ["y"], mode="cubic")],
        [1, 5, 2, 4], constants, opset=11,
    )  # fmt: skip
    (expected,) = Session(resize.SerializeToString()).run(
        {"x": np.ascontiguousarray(feeds["x"].transpose(0, 2, 3, 1))}
    )
    assert np.array_equal(made, expected.transpose(0, 3, 1, 2))


def test_a_model_that_no_level_takes_is_refused_with_the_first_reason() -> None:
    proto = make_model([helper.make_node("Nonsense", ["x"], ["y"])], [1], {})
    with pytest.raises(Exception, match="Nonsense"):
        Session(proto.SerializeToString())
