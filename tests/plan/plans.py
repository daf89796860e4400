"""Small graphs and plans written by hand, for the tests of plans, programs and their execution."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from swath.graph.codec import weightless
from swath.graph.graph import Graph
from swath.graph.load import load_onnx
from swath.ops import Region
from swath.plan.plan import Plan, PlanDevice, Stage, Tile

ROWS = 12


def chain(layers: int = 3, channels: int = 4, rows: int = ROWS) -> onnx.ModelProto:
    """``layers`` 3x3 convolutions with an activation each, on a map of ``rows`` x 8."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for layer in range(layers):
        shape = (channels, channels, 3, 3)
        weight = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.2)
        weights.append(numpy_helper.from_array(weight, f"w{layer}"))
        nodes += [
            helper.make_node(
                "Conv", [f"x{layer}", f"w{layer}"], [f"c{layer}"], pads=[1] * 4, name=f"conv{layer}"
            ),
            helper.make_node("Relu", [f"c{layer}"], [f"x{layer + 1}"], name=f"relu{layer}"),
        ]
    shape = [1, channels, rows, 8]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, shape)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def chain_graph(layers: int = 3, channels: int = 4, rows: int = ROWS) -> Graph:
    return load_onnx(chain(layers, channels, rows))


def rows_of(graph: Graph, tensor: str, lo: int, hi: int) -> Region:
    return graph.tensors[tensor].whole.replace(2, (lo, hi))


def layer_plan(graph: Graph, tiles: list[tuple[str, int, int, int]], **fields: object) -> Plan:
    """A plan with one stage per layer; ``tiles``: (device, layer, first row, row behind the last),
    in the plan's order."""
    layers = len(graph.nodes) // 2
    values: dict[str, object] = {
        "planner": "by hand",
        "model": graph.digest,
        "graph": weightless(graph),
        "devices": tuple(PlanDevice(name) for name in dict.fromkeys(tile[0] for tile in tiles)),
        "source": tiles[0][0],
        "stages": tuple(Stage(f"s{i}", (f"conv{i}", f"relu{i}")) for i in range(layers)),
        "tiles": tuple(
            Tile(device, f"s{layer}", {f"x{layer + 1}": rows_of(graph, f"x{layer + 1}", lo, hi)})
            for device, layer, lo, hi in tiles
        ),
        **fields,
    }
    return Plan(**values)  # type: ignore[arg-type]


def two_devices(graph: Graph, **fields: object) -> Plan:
    """Rows 0-5 on ``a``, 6-11 on ``b``, layer by layer."""
    layers = len(graph.nodes) // 2
    tiles = [
        tile for layer in range(layers) for tile in (("a", layer, 0, 6), ("b", layer, 6, ROWS))
    ]
    return layer_plan(graph, tiles, **fields)
