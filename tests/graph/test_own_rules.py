"""Rules that a user adds: what they return is not trusted to be a name of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from swath.graph.build import build_graph
from swath.graph.graph import Graph
from swath.graph.tile import extract_tile
from swath.ops import Demand, Emitter, Operator, Region, Regions, register
from swath.ops.rule import _RULES, BaseRule
from tests.splitting import TileRunner
from tests.tiles import make_model

VALUES = np.random.default_rng(61).standard_normal((1, 2, 6, 5), dtype=np.float32)


class PassedOn(BaseRule):
    """Every output is the first input, under the input's own name."""

    def demand(self, op: Operator, wanted: Regions) -> Demand:
        region = next(region for region in wanted if region is not None)
        made = tuple(None if asked is None else region for asked in wanted)
        return Demand(made, (region, *(None for _ in op.inputs[1:])))

    def emit(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        return tuple(inputs[0] for _ in op.outputs)


class Constantly(PassedOn):
    """The output is a constant of the emitter's."""

    def emit(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        (region,) = demand.outputs
        assert region is not None
        return (emitter.constant(np.full(region.shape, 2, np.float32)),)


@pytest.fixture(autouse=True)
def own_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swath.ops.rule._RULES", dict(_RULES))
    register("PassedOn", domain="own")(PassedOn)
    register("Constantly", domain="own")(Constantly)


def graph_of(*nodes: onnx.NodeProto, outputs: Sequence[str]) -> Graph:
    """Operators of our own stand in for Identity, which gives their shapes."""
    known = [
        helper.make_node("Identity", node.input[:1], [name]) if node.domain else node
        for node in nodes
        for name in (node.output if node.domain else node.output[:1])
    ]
    typed = make_model(known, {"x": VALUES}, {}, outputs=outputs)
    model = onnx.ModelProto.FromString(typed.SerializeToString())
    del model.graph.node[:]
    for index, node in enumerate(nodes):
        node.name = f"n{index}"
        model.graph.node.append(node)
    model.opset_import.append(helper.make_opsetid("own", 1))
    return build_graph(model)


def own(op_type: str, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    return helper.make_node(op_type, inputs, outputs, domain="own")


ROWS = (1, 4)
PART = VALUES[:, :, slice(*ROWS)]


def made_by(graph: Graph, regions: dict[str, Region]) -> dict[str, np.ndarray]:
    tile = extract_tile(graph, range(len(graph.nodes)), regions)
    onnx.checker.check_model(onnx.ModelProto.FromString(tile.model))
    return TileRunner(graph, {"x": VALUES}).run(tile)


def rows(graph: Graph, *names: str) -> dict[str, Region]:
    return {name: graph.tensors[name].whole.replace(2, ROWS) for name in names}


def test_an_input_passed_on() -> None:
    graph = graph_of(own("PassedOn", ["x"], ["y"]), outputs=["y"])
    assert np.array_equal(made_by(graph, rows(graph, "y"))["y"], PART)


def test_an_input_passed_on_twice() -> None:
    graph = graph_of(own("PassedOn", ["x"], ["y", "z"]), outputs=["y", "z"])
    made = made_by(graph, rows(graph, "y", "z"))
    assert np.array_equal(made["y"], PART)
    assert np.array_equal(made["z"], PART)


def test_a_tensor_of_the_stage_passed_on_beside_the_tensor_itself() -> None:
    graph = graph_of(
        helper.make_node("Neg", ["x"], ["a"]),
        own("PassedOn", ["a"], ["b"]),
        helper.make_node("Abs", ["b"], ["c"]),
        outputs=["a", "b", "c"],
    )
    made = made_by(graph, rows(graph, "a", "b", "c"))
    assert np.array_equal(made["a"], -PART)
    assert np.array_equal(made["b"], -PART)
    assert np.array_equal(made["c"], np.abs(PART))


def test_a_crop_passed_on() -> None:
    """Each of the two needs another part, so that both parts are cut from what is held."""
    graph = graph_of(
        helper.make_node("Neg", ["x"], ["a"]),
        own("PassedOn", ["a"], ["b"]),
        helper.make_node("Abs", ["a"], ["c"]),
        outputs=["a", "b", "c"],
    )
    whole = graph.tensors["a"].whole
    made = made_by(graph, {"a": whole.replace(2, (1, 4)), "b": whole.replace(2, (1, 4)),
                           "c": whole.replace(2, (3, 6))})  # fmt: skip
    assert np.array_equal(made["a"], -PART)
    assert np.array_equal(made["b"], -PART)
    assert np.array_equal(made["c"], np.abs(VALUES[:, :, 3:6]))


def test_a_constant_returned() -> None:
    graph = graph_of(
        own("Constantly", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"]), outputs=["a", "y"]
    )
    made = made_by(graph, rows(graph, "a", "y"))
    assert np.array_equal(made["a"], np.full_like(PART, 2))
    assert np.array_equal(made["y"], np.full_like(PART, -2))
