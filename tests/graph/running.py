"""Runs models and tiles in ONNX Runtime for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper, shape_inference

from swath.graph.build import as_arrays, build_graph
from swath.graph.graph import Graph
from swath.graph.tile import extract_tile
from swath.ops import Region

ort.set_default_logger_severity(4)


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    opset: int = 17,
    outputs: Sequence[str] | None = None,
) -> onnx.ModelProto:
    """A model whose outputs are its last node's (or those named), with shapes inferred."""
    for index, node in enumerate(nodes):
        node.name = node.name or f"n{index}"
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in inputs.items()
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None)
            for name in outputs or nodes[-1].output
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 20 else 10
    )
    return shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def run_all(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of the unsplit model."""
    names = [name for node in model.graph.node for name in node.output if name]
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    values = session(exposed.SerializeToString()).run(names, dict(feeds))
    return {**feeds, **dict(zip(names, values, strict=True))}


def session(model: bytes, external: Mapping[str, np.ndarray] | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    values = [ort.OrtValue.ortvalue_from_numpy(value) for value in (external or {}).values()]
    options.add_external_initializers(list(external or {}), values)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_tile(
    graph: Graph,
    nodes: Sequence[int],
    outputs: Mapping[str, Region],
    held: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """The tile's outputs, given whole tensors to cut its inputs from."""
    tile = extract_tile(graph, nodes, outputs)
    arrays = {graph.constants[name].digest: value for name, value in as_arrays(graph).items()}
    external = {
        name: np.asarray(arrays[weight.digest][weight.region.slices()], order="C")
        for name, weight in tile.weights.items()
    }
    feeds = {name: held[name][region.slices()] for name, region in tile.inputs.items()}
    names = list(tile.outputs)
    values = session(tile.model, external).run(names, feeds)
    made = dict(zip(names, values, strict=True))
    for name, region in outputs.items():
        assert made[name].shape == region.shape, (name, made[name].shape, region)
    return made


def build(model: onnx.ModelProto, values: Mapping[str, np.ndarray] | None = None) -> Graph:
    """The model's graph; shapes that inference leaves open come from ``values``, if given."""
    known = {value.name for value in (*model.graph.value_info, *model.graph.output)
             if value.type.tensor_type.HasField("shape")}  # fmt: skip
    for name, value in (values or {}).items():
        if name in known or name in {item.name for item in model.graph.input}:
            continue
        info = helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for output in model.graph.output:
            if output.name == name:
                output.CopyFrom(info)
                break
        else:
            model.graph.value_info.append(info)
    return build_graph(model)
