"""Is a wrong halo noticed? Every rule is made to read one row too few, and must be caught at it.

The row that is missing is filled in with zeros or with its neighbour, as an implementation would
that forgot it. This proves the comparison, not the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from onnx import helper

from swath.graph.graph import Graph
from swath.graph.reductions import ReductionSplit, split_reductions
from swath.ops import Demand, Emitter, Operator, Region, Regions, Rule, split_evenly
from tests.tiles import build, compare_regions, make_model, run_all, run_tile


@dataclass(frozen=True)
class MissingRow:
    """A rule that reads one entry less at one side of one axis, unless the map ends there."""

    inner: Rule
    input: int
    axis: int
    side: int
    fill: str

    def demand(self, op: Operator, wanted: Regions) -> Demand:
        right = self.inner.demand(op, wanted)
        return replace(right, inputs=self.without_row(op, right.inputs))

    def without_row(self, op: Operator, regions: Regions) -> Regions:
        region = regions[self.input]
        if region is None or self.axis >= len(region):
            return regions
        lo, hi = region[self.axis]
        is_border = hi == op.input_shape(self.input)[self.axis] if self.side else lo == 0
        if is_border or hi - lo < 2:
            return regions
        less = (lo, hi - 1) if self.side else (lo + 1, hi)
        shrunk = region.replace(self.axis, less)
        return (*regions[: self.input], shrunk, *regions[self.input + 1 :])

    def emit(
        self, op: Operator, demand: Demand, inputs: Sequence[str | None], emitter: Emitter
    ) -> tuple[str | None, ...]:
        right = self.inner.demand(op, demand.outputs)
        region, held = right.inputs[self.input], demand.inputs[self.input]
        if region is None or region == held:
            return self.inner.emit(op, demand, inputs, emitter)
        pads = np.zeros((2, len(region)), np.int64)
        pads[self.side, self.axis] = 1
        (filled,) = emitter.node(
            "Pad",
            [inputs[self.input], emitter.constant(pads.reshape(-1))],
            attributes={"mode": self.fill},
        )
        others = [*inputs[: self.input], filled, *inputs[self.input + 1 :]]
        return self.inner.emit(op, right, others, emitter)

    def flops(self, op: Operator, outputs: Regions) -> int:
        return self.inner.flops(op, outputs)


@dataclass(frozen=True)
class Case:
    """One operator, the axes of its output to cut, and the axes of its input that this cuts."""

    type: str
    cut: tuple[int, ...] = (2, 3)
    shape: tuple[int, ...] = (2, 6, 14, 13)
    constants: tuple[np.ndarray, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    reduction: ReductionSplit | None = None
    mutants: int | None = None
    """How many of the mutants change anything; None: two for each axis that is cut."""

    def __str__(self) -> str:
        attributes = ",".join(f"{key}={value}" for key, value in self.attributes.items())
        return f"{self.type}-{attributes}{'-parts' if self.reduction else ''}".replace(" ", "")


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape, np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def scales(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


NO_ROI = np.zeros(0, np.float32)
TWICE = (NO_ROI, scales(1, 1, 2, 2))
CASES = [
    Case("Conv", constants=(random(4, 6, 3, 3),), attributes={"pads": [1, 1, 1, 1]}),
    Case("Conv", constants=(random(4, 6, 3, 3),),
         attributes={"pads": [2, 1, 2, 0], "strides": [2, 2], "dilations": [2, 1]}),
    Case("Conv", constants=(random(6, 1, 5, 5),), attributes={"group": 6, "pads": [2, 2, 2, 2]}),
    Case("Conv", cut=(1, 2, 3), constants=(random(6, 1, 3, 3),), attributes={"group": 6},
         mutants=8),
    Case("ConvTranspose", constants=(random(6, 3, 4, 4),),
         attributes={"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("ConvTranspose", constants=(random(6, 3, 3, 3),),
         attributes={"strides": [1, 1], "pads": [1, 1, 1, 1]}),
    Case("MaxPool", cut=(1, 2, 3), attributes={"kernel_shape": [3, 3], "strides": [2, 2]}),
    Case("MaxPool", attributes={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    Case("AveragePool", attributes={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    Case("LpPool", attributes={"kernel_shape": [3, 3], "strides": [2, 1]}),
    # Every part reads from the first channel on, so there is none to miss on that side.
    Case("LRN", cut=(1, 2), attributes={"size": 3, "alpha": 1.0}, mutants=3),
    Case("Resize", constants=TWICE, attributes={"mode": "nearest"}),
    Case("Resize", constants=TWICE, attributes={"mode": "linear"}),
    Case("Resize", constants=TWICE, attributes={"mode": "cubic"}),
    Case("Resize", constants=(NO_ROI, scales(1, 1, 0.5, 0.5)),
         attributes={"mode": "linear", "antialias": 1,
                     "coordinate_transformation_mode": "align_corners"}),
    Case("Resize", constants=TWICE,
         attributes={"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    Case("Resize", constants=TWICE,
         attributes={"mode": "cubic", "coordinate_transformation_mode": "align_corners"}),
    Case("Pad", constants=(integers(0, 0, 2, 1, 0, 0, 2, 1),), attributes={"mode": "constant"}),
    Case("Pad", constants=(integers(0, 0, 2, 1, 0, 0, 2, 1),), attributes={"mode": "reflect"}),
    Case("Pad", constants=(integers(0, 0, 2, 1, 0, 0, 2, 1),), attributes={"mode": "edge"}),
    Case("Slice", constants=(integers(1), integers(14), integers(2), integers(2))),
    Case("Concat", constants=(random(2, 6, 4, 13),), attributes={"axis": 2}, mutants=6),
    Case("Split", constants=(integers(10, 4),), attributes={"axis": 2}),
    Case("DepthToSpace", cut=(1, 2, 3), shape=(1, 16, 6, 6), attributes={"blocksize": 2},
         mutants=4),
    Case("SpaceToDepth", shape=(1, 3, 12, 12), attributes={"blocksize": 2}),
    Case("Transpose", cut=(0, 1, 2, 3), shape=(5, 6, 7, 8), attributes={"perm": [0, 2, 3, 1]}),
    Case("Add", cut=(1, 2, 3), constants=(random(6, 1, 13),), mutants=10),
    Case("Relu", cut=(1, 2, 3)),
    Case("Softmax", attributes={"axis": 1}),
    Case("BatchNormalization", cut=(1, 2, 3),
         constants=(random(6), random(6) + 3, random(6) - 2, random(6) ** 2 + 1), mutants=14),
    Case("InstanceNormalization", cut=(1,), constants=(random(6), random(6) + 3), mutants=6),
    Case("LayerNormalization", cut=(1, 2), constants=(random(13),)),
    Case("ReduceMean", cut=(1, 2), constants=(integers(3),)),
    Case("GlobalAveragePool", cut=(1,)),
    Case("MatMul", cut=(0, 1), shape=(9, 8), constants=(random(8, 10),), mutants=4),
    Case("Gemm", cut=(0, 1), shape=(9, 8), constants=(random(8, 10), random(10)), mutants=6),
    Case("GlobalAveragePool", cut=(0,), shape=(1, 6, 14, 13),
         reduction=ReductionSplit("node", 2, (0, 4, 9, 14))),
    Case("ReduceL2", cut=(0,), shape=(1, 6, 14, 13), constants=(integers(2, 3),),
         reduction=ReductionSplit("node", 3, (0, 4, 9, 13))),
    Case("Conv", cut=(0,), shape=(1, 9, 8, 7), constants=(random(4, 9, 3, 3), random(4)),
         reduction=ReductionSplit("node", 1, (0, 3, 6, 9)), mutants=4),
    Case("MatMul", cut=(0,), shape=(9, 9), constants=(random(9, 10),),
         reduction=ReductionSplit("node", 1, (0, 3, 6, 9)), mutants=4),
    Case("InstanceNormalization", cut=(0,), shape=(1, 6, 14, 13),
         constants=(random(6), random(6)), reduction=ReductionSplit("node", 2, (0, 4, 9, 14))),
]  # fmt: skip


def graph_of(case: Case) -> tuple[Graph, str, dict[str, np.ndarray]]:
    """The case's graph, the tensor to cut, and every tensor's right value."""
    x = random(*case.shape)
    names = [f"c{index}" for index in range(len(case.constants))]
    constants = dict(zip(names, case.constants, strict=True))
    outputs = ["y", "z"] if case.type == "Split" else ["y"]
    node = helper.make_node(case.type, ["x", *names], outputs, "node", **case.attributes)
    model = make_model([node], {"x": x}, constants, 18)
    tensors = run_all(model, {"x": x})
    graph = build(model, tensors)
    if case.reduction is None:
        return graph, "y", tensors
    graph = split_reductions(graph, [case.reduction])
    # Alone, the partial results are right by the tests of the reductions.
    partial = replace(graph, nodes=graph.nodes[:1], outputs=("y/partial",))
    whole = {"y/partial": partial.tensors["y/partial"].whole}
    return partial, "y/partial", {**tensors, **run_tile(partial, [0], whole, tensors)}


def mutants(graph: Graph) -> Iterator[tuple[str, Callable[[str], Graph]]]:
    """Every way to miss a row of the graph's only node; told the filling, it gives the graph."""
    (op,) = graph.operators
    for index, tensor in enumerate(op.inputs):
        for axis in range(len(tensor.whole) if tensor is not None else 0):
            for side, name in enumerate(("before", "after")):

                def mutate(fill: str, where: tuple[int, int, int] = (index, axis, side)) -> Graph:
                    mutated = replace(graph)
                    rules = (MissingRow(graph.rules[0], *where, fill),)
                    vars(mutated)["rules"] = rules
                    return mutated

                yield f"input {index}, axis {axis}, {name}", mutate


def affected(graph: Graph, mutated: Graph, output: str, regions: Sequence[Region]) -> list[Region]:
    """The regions that the mutant makes from less than the rule asks for."""
    position = graph.nodes[0].outputs.index(output)
    found = []
    for region in regions:
        wanted: list[Region | None] = [None] * len(graph.nodes[0].outputs)
        wanted[position] = region
        demands = [g.rules[0].demand(g.operators[0], tuple(wanted)) for g in (graph, mutated)]
        if demands[0].inputs != demands[1].inputs:
            found.append(region)
    return found


@pytest.mark.parametrize("fill", ["constant", "edge"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_missing_row_is_noticed(case: Case, fill: str) -> None:
    graph, output, tensors = graph_of(case)
    whole = graph.tensors[output].whole
    regions = [
        whole.replace(axis, part)
        for axis in case.cut
        for part in split_evenly(whole.shape[axis], 3)
    ]
    compare_regions(graph, output, regions, tensors)
    count = 0
    for name, mutate in mutants(graph):
        mutated = mutate(fill)
        reached = affected(graph, mutated, output, regions)
        for region in reached:
            try:
                compare_regions(mutated, output, [region], tensors)
            except AssertionError:
                continue
            pytest.fail(f"{name}: {output}{region} lacks a row and nobody noticed")
        count += bool(reached)
    assert count == (2 * len(case.cut) if case.mutants is None else case.mutants)


def test_only_the_tensors_of_every_stage_show_what_a_small_scale_hides() -> None:
    """ConvNeXt scales its branches by a millionth: at the output a wrong halo is out of sight."""
    x = random(1, 6, 14, 13)
    constants = {"w": random(6, 1, 7, 7), "scale": np.full((6, 1, 1), 1e-6, np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], group=6, pads=[3, 3, 3, 3]),
        helper.make_node("Mul", ["a", "scale"], ["b"]),
        helper.make_node("Add", ["x", "b"], ["y"]),
    ]
    tensors = run_all(model := make_model(nodes, {"x": x}, constants), {"x": x})
    graph = build(model)
    mutated = replace(graph)
    vars(mutated)["rules"] = (MissingRow(graph.rules[0], 0, 2, 1, "constant"), *graph.rules[1:])
    upper = Region.whole(x.shape).replace(2, (0, 7))
    compare_regions(mutated, "y", [upper], tensors)
    with pytest.raises(AssertionError, match="differs"):
        compare_regions(mutated, "a", [upper], tensors)
