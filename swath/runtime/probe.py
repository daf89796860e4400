"""A quick measurement of a device's speed, where no profile is at hand."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET, _IR = 17, 8
_CHANNELS, _SIDE, _LAYERS = 128, 28, 4


@lru_cache(maxsize=1)
def probe_model() -> tuple[bytes, int]:
    """(ONNX model, its FLOPs): a few 3x3 convolutions, the bread of CNNs; some milliseconds."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for layer in range(_LAYERS):
        shape = (_CHANNELS, _CHANNELS, 3, 3)
        scale = np.float32((2 / (_CHANNELS * 9)) ** 0.5)
        weight = rng.standard_normal(shape, dtype=np.float32) * scale
        weights.append(numpy_helper.from_array(weight, f"w{layer}"))
        nodes.append(
            helper.make_node("Conv", [f"x{layer}", f"w{layer}"], [f"x{layer + 1}"], pads=[1] * 4)
        )
    map_shape = [1, _CHANNELS, _SIDE, _SIDE]
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, map_shape)],
        [helper.make_tensor_value_info(f"x{_LAYERS}", TensorProto.FLOAT, map_shape)],
        weights,
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=_IR)
    flops = 2 * _LAYERS * _CHANNELS * _CHANNELS * 9 * _SIDE * _SIDE
    return model.SerializeToString(), flops
