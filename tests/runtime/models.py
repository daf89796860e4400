"""Small models with shapes of their own kind, and plans that give each node to some device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from swath.graph.codec import weightless
from swath.graph.geometry import handed_on
from swath.graph.graph import Graph
from swath.graph.load import load_onnx
from swath.plan.plan import Plan, PlanDevice, Stage, Tile
from swath.runtime.plain import PlainRuntime

FLOAT = TensorProto.FLOAT


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, tuple[int, Sequence[int] | None]],
    constants: Mapping[str, np.ndarray] | None = None,
) -> Graph:
    """A graph; ``outputs``: type and shape by name (None: not known beforehand)."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return load_onnx(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def node(op_type: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    """``inputs`` and ``outputs``: names and blanks; the first output names the node."""
    made = outputs.split()
    return helper.make_node(op_type, inputs.split(), made, name=f"make {made[0]}", **attributes)


def by_node(graph: Graph, devices: Sequence[str], **fields: object) -> Plan:
    """Every node whole, on one device after the other, in turn."""
    stages = tuple(Stage(node.name, (node.name,)) for node in graph.nodes)
    tiles = [
        Tile(
            devices[position % len(devices)],
            stage.name,
            {name: graph.tensors[name].whole for name in handed_on(graph, [position])},
        )
        for position, stage in enumerate(stages)
    ]
    values: dict[str, object] = {
        "planner": "by hand",
        "model": graph.digest,
        "graph": weightless(graph),
        "devices": tuple(PlanDevice(name) for name in devices),
        "source": devices[0],
        "stages": stages,
        "tiles": tuple(tile for tile in tiles if tile.outputs),
        **fields,
    }
    return Plan(**values)  # type: ignore[arg-type]


def values(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(graph.tensors[name].shape).astype(np.float32)
        for name in graph.inputs
    }


def assert_equal(
    graph: Graph, made: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]
) -> None:
    """Equal to the unsplit model, to the last bit."""
    expected = PlainRuntime(graph).run(inputs)
    assert list(made) == list(graph.outputs)
    for name, array in expected.items():
        assert made[name].dtype == array.dtype, name
        np.testing.assert_array_equal(made[name], array, err_msg=name)
