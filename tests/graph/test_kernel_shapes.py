"""Where ONNX infers another shape than ONNX Runtime's kernel makes, the kernel's is the graph's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from swath.errors import ModelError
from swath.graph.load import load_onnx
from tests.splitting import check_loaded, session

FLOAT = TensorProto.FLOAT
RANDOM = np.random.default_rng(41)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int],
    constants: Mapping[str, np.ndarray] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 22,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def between_convolutions(
    op_type: str,
    attributes: Mapping[str, Any],
    extents: Sequence[int],
    parameters: Sequence[np.ndarray | None] = (),
    opset: int = 22,
) -> onnx.ModelProto:
    """The operator after one convolution and before another one, both with padding."""
    names = [f"p{index}" if array is not None else "" for index, array in enumerate(parameters)]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node(op_type, ["a", *names], ["b"], **attributes),
        helper.make_node("Conv", ["b", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    constants = {"w": floats(3, 3, 3, 3)}
    constants |= {n: a for n, a in zip(names, parameters, strict=True) if a is not None}
    return model(nodes, [1, 3, *extents], constants, ["b", "y"], opset)


CEIL = {"ceil_mode": 1}
WINDOWS: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    "strides beyond the kernel": (
        "MaxPool", {"kernel_shape": [1, 1], "strides": [3, 2], **CEIL}, (17, 10),
    ),
    "maximum with padding": (
        "MaxPool",
        {"kernel_shape": [2, 3], "strides": [3, 1], "pads": [1, 2, 1, 1], **CEIL},
        (10, 11),
    ),
    "mean": ("AveragePool", {"kernel_shape": [3, 2], "strides": [3, 5], "pads": [0, 0, 2, 1],
                             **CEIL}, (12, 10)),
    "norm": ("LpPool", {"kernel_shape": [3, 1], "strides": [2, 5], "pads": [0, 0, 2, 0], **CEIL},
             (6, 18)),
    "dilated": ("AveragePool", {"kernel_shape": [4, 4], "strides": [4, 4], "dilations": [1, 3],
                                "pads": [0, 1, 3, 3], **CEIL}, (18, 11)),
    "ceiling without padding": ("MaxPool", {"kernel_shape": [4, 2], "strides": [5, 5],
                                            "auto_pad": "VALID", **CEIL}, (15, 10)),
    "same and dilated": ("MaxPool", {"kernel_shape": [2, 4], "strides": [5, 2],
                                     "dilations": [3, 1], "auto_pad": "SAME_LOWER"}, (9, 14)),
    "same, dilated, mean": ("AveragePool", {"kernel_shape": [4, 4], "strides": [5, 5],
                                            "dilations": [3, 1], "auto_pad": "SAME_UPPER"},
                            (19, 19)),
}  # fmt: skip


@pytest.mark.parametrize("case", WINDOWS)
def test_pools(case: str) -> None:
    operator, attributes, extents = WINDOWS[case]
    proto = between_convolutions(operator, attributes, extents, opset=19)
    assert differs_from_inference(proto), "the case proves nothing"
    assert check_loaded(proto, {"x": floats(1, 3, *extents)}).split


RESIZED: dict[str, tuple[dict[str, Any], tuple[float, float], tuple[int, int]]] = {
    "smaller": ({"mode": "nearest"}, (0.7, 0.6), (10, 10)),
    "larger": ({"mode": "linear"}, (1.7, 2.3), (10, 10)),
    "some axes": ({"mode": "nearest", "axes": [2, 3]}, (0.6, 0.7), (7, 10)),
    "cubic": ({"mode": "cubic"}, (2.0, 2.3), (9, 20)),
}


@pytest.mark.parametrize("case", RESIZED)
def test_scales(case: str) -> None:
    attributes, scales, extents = RESIZED[case]
    values = np.array(scales if "axes" in attributes else (1, 1, *scales), np.float32)
    proto = between_convolutions("Resize", attributes, extents, [None, values])
    assert differs_from_inference(proto), "the case proves nothing"
    assert check_loaded(proto, {"x": floats(1, 3, *extents)}).split


def test_scales_of_channels_too() -> None:
    scales = np.array([1, 0.7, 2, 2], np.float32)
    nodes = [
        helper.make_node("Resize", ["x", "", "s"], ["a"], mode="nearest"),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    proto = model(nodes, [1, 10, 4, 5], {"s": scales})
    assert load_onnx(proto).tensors["a"].shape == (1, 7, 8, 10)
    assert check_loaded(proto, {"x": floats(1, 10, 4, 5)}).split


def test_upsample() -> None:
    scales = np.array([1, 1, 1.1, 2.3], np.float32)
    proto = between_convolutions("Upsample", {"mode": "nearest"}, (9, 20), [scales], opset=9)
    assert differs_from_inference(proto), "the case proves nothing"
    assert check_loaded(proto, {"x": floats(1, 3, 9, 20)}).split


def test_transposed_convolution_with_output_padding() -> None:
    attributes = {"strides": [4, 3], "auto_pad": "SAME_UPPER", "output_padding": [1, 2]}
    proto = between_convolutions("ConvTranspose", attributes, (11, 12), [floats(3, 3, 3, 3)])
    assert differs_from_inference(proto), "the case proves nothing"
    assert check_loaded(proto, {"x": floats(1, 3, 11, 12)}).split


def test_transposed_convolution_to_a_shape() -> None:
    """ONNX infers three dimensions here; ONNX Runtime would refuse a convolution behind it."""
    attributes = {"strides": [2, 2], "output_shape": [13, 7], "auto_pad": "SAME_LOWER", "group": 2}
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["a"], **attributes),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    proto = model(nodes, [2, 4, 11, 12], {"w": floats(4, 3, 3, 3)}, ["a", "y"])
    assert differs_from_inference(proto), "the case proves nothing"
    assert load_onnx(proto).tensors["y"].shape == (2, 6, 13, 7)
    assert check_loaded(proto, {"x": floats(2, 4, 11, 12)}).split


def differs_from_inference(proto: onnx.ModelProto) -> bool:
    """Whether ONNX infers another shape for the first output than ONNX Runtime makes."""
    inferred = onnx.shape_inference.infer_shapes(proto).graph.output[0].type.tensor_type.shape
    feeds = {"x": np.zeros([d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim],
                           np.float32)}  # fmt: skip
    (made,) = session(proto.SerializeToString()).run([proto.graph.output[0].name], feeds)
    return made.shape != tuple(dimension.dim_value for dimension in inferred.dim)


def test_what_follows_is_inferred_anew() -> None:
    """Two wrong shapes in a row, and arithmetic on them that is folded."""
    ceil = {"kernel_shape": [1, 1], "strides": [3, 3], **CEIL}
    nodes = [
        helper.make_node("MaxPool", ["x"], ["a"], **ceil),
        helper.make_node("MaxPool", ["a"], ["b"], **ceil),
        helper.make_node("Shape", ["b"], ["s"]),
        helper.make_node("Expand", ["c", "s"], ["d"]),
        helper.make_node("Add", ["b", "d"], ["y"]),
    ]
    proto = model(nodes, [1, 2, 29, 47], {"c": np.ones((1, 1, 1, 1), np.float32)})
    graph = load_onnx(proto)
    assert graph.tensors["a"].shape == (1, 2, 10, 16)
    assert graph.tensors["b"].shape == graph.tensors["y"].shape == (1, 2, 4, 6)
    feeds = {"x": floats(1, 2, 29, 47)}
    expected = feeds["x"][:, :, ::9, ::9] + 1
    (made,) = session(proto.SerializeToString()).run(None, feeds)
    assert made.shape == expected.shape
    assert check_loaded(proto, feeds).split


def test_a_shape_from_inside_a_branch_stays_open() -> None:
    branch = helper.make_graph(
        [helper.make_node("MaxPool", ["x"], ["a"], kernel_shape=[1], strides=[3], ceil_mode=1)],
        "branch", [], [helper.make_tensor_value_info("a", FLOAT, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["t"], then_branch=branch, else_branch=branch),
        helper.make_node("Relu", ["t"], ["y"]),
    ]
    proto = model(nodes, [1, 2, 17], {"zero": np.zeros((), np.float32)})
    graph = load_onnx(proto)
    assert graph.tensors["t"].shape is None
    assert graph.tensors["y"].shape is None
    check_loaded(proto, {"x": floats(1, 2, 17)})


UNFIT = {
    "pool": ("MaxPool", {"kernel_shape": [4, 1]}, "window of 4 does not fit a map of 3"),
    "pool in ceil mode": (
        "AveragePool", {"kernel_shape": [1, 9], "strides": [1, 2], "pads": [0, 1, 0, 0],
                        "ceil_mode": 1},
        r"window of 9 does not fit a map of 5 \(6 with padding\)",
    ),
    "dilated pool": ("MaxPool", {"kernel_shape": [2, 2], "dilations": [4, 1],
                                 "auto_pad": "SAME_UPPER"}, "window of 5"),
    "convolution": ("Conv", {"strides": [9, 9]}, r"'tight' \(Conv\): its window of 4"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_windows_that_do_not_fit_are_refused(case: str) -> None:
    """ONNX Runtime divides by zero over some of the pools, with 16 channels."""
    operator, attributes, message = UNFIT[case]
    inputs = ["x", "w"] if operator == "Conv" else ["x"]
    nodes = [helper.make_node(operator, inputs, ["y"], name="tight", **attributes)]
    proto = model(nodes, [1, 16, 3, 5], {"w": floats(2, 16, 4, 1)})
    with pytest.raises(ModelError, match=message) as caught:
        load_onnx(proto)
    assert "'tight'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ceil", [0, 1])
def test_a_window_that_lacks_less_than_a_stride_fits(ceil: int) -> None:
    """ONNX Runtime makes one output of what there is, as PyTorch does in ceil mode."""
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": ceil}
    for operator in ("MaxPool", "AveragePool"):
        proto = between_convolutions(operator, attributes, (2, 2))
        assert load_onnx(proto).tensors["b"].shape == (1, 3, 1, 1)
        check_loaded(proto, {"x": floats(1, 3, 2, 2)})
