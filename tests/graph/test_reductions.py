"""Split reductions: every kind, axis, opset and bounds against the unsplit operator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from onnx import helper

from swath.graph.codec import graph_from_json, graph_to_json, weightless
from swath.graph.geometry import tile_geometry
from swath.graph.graph import Graph
from swath.graph.reductions import ReductionSplit, reducible_axes, split_reductions
from swath.ops import Region, split_evenly
from tests.tiles import build, make_model, run_all, run_tile

TOLERANCE = 1e-4


def values(*shape: int, seed: int = 0, offset: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.standard_normal(shape, np.float32) + np.float32(offset)


@dataclass(frozen=True)
class Case:
    """One operator ``y = type(x, *constants)`` and the axes along which it can be split."""

    type: str
    axes: tuple[int, ...]
    shape: tuple[int, ...] = (2, 4, 7, 9)
    constants: tuple[np.ndarray, ...] = ()
    opset: int = 17
    attributes: dict[str, Any] = field(default_factory=dict)
    x: np.ndarray | None = None

    def __str__(self) -> str:
        attributes = ",".join(f"{key}={value}" for key, value in self.attributes.items())
        return f"{self.type}-{self.opset}-{attributes}-{len(self.constants)}"

    @property
    def data(self) -> np.ndarray:
        return values(*self.shape) if self.x is None else self.x

    def graph(self) -> tuple[Graph, dict[str, np.ndarray]]:
        constants = {f"c{index}": value for index, value in enumerate(self.constants)}
        node = helper.make_node(self.type, ["x", *constants], ["y"], "n", **self.attributes)
        model = make_model([node], {"x": self.data}, constants, self.opset)
        tensors = run_all(model, {"x": self.data})
        return build(model, tensors), tensors


def _reduce_cases() -> list[Case]:
    cases = []
    kinds = ["Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp", "Sum"]
    for kind in kinds:
        x = np.abs(values(2, 4, 7, 9)) + 0.5 if kind == "LogSum" else None
        input_since = 13 if kind == "Sum" else 18
        for keepdims in (0, 1):
            as_attribute = {"axes": [1, -1], "keepdims": keepdims}
            as_input = (np.array([3, 2], np.int64),)
            cases += [
                Case(f"Reduce{kind}", (1, 3), opset=11, attributes=as_attribute, x=x),
                Case(f"Reduce{kind}", (2, 3), (2, 4, 7, 9), as_input, input_since,
                     {"keepdims": keepdims}, x),
                Case(f"Reduce{kind}", (0, 1, 2, 3), opset=input_since,
                     attributes={"keepdims": keepdims}, x=x),
            ]  # fmt: skip
    return cases


CASES = [
    Case("GlobalAveragePool", (2, 3)),
    Case("GlobalAveragePool", (2,), (1, 3, 11)),
    Case("GlobalAveragePool", (2, 3, 4), (1, 3, 4, 5, 6)),
    Case("GlobalMaxPool", (2, 3)),
    *(Case("GlobalLpPool", (2, 3), attributes={"p": p}) for p in (1, 2, 3)),
    *_reduce_cases(),
    Case("ReduceSum", (0, 1), opset=11, attributes={"axes": [0, 1]},
         x=np.arange(12, dtype=np.int32).reshape(3, 4)),
    Case("InstanceNormalization", (2, 3), constants=(values(4), values(4)),
         x=values(2, 4, 7, 9, offset=5)),
    Case("InstanceNormalization", (2,), (2, 4, 30), (values(4), values(4)),
         attributes={"epsilon": 0.1}),
    Case("GroupNormalization", (2, 3), constants=(values(2), values(2)), opset=18,
         attributes={"num_groups": 2}),
    Case("GroupNormalization", (2, 3), (2, 6, 7, 9), (values(6), values(6)), 21, {"num_groups": 2}),
    Case("GroupNormalization", (2, 3), constants=(values(4), values(4)), opset=21,
         attributes={"num_groups": 4}),
    Case("GroupNormalization", (1, 2, 3), constants=(values(4), values(4)), opset=21,
         attributes={"num_groups": 1}),
    Case("LayerNormalization", (3,), constants=(values(9), values(9))),
    Case("LayerNormalization", (2, 3), constants=(values(7, 9),), attributes={"axis": 2}),
    Case("LayerNormalization", (1, 2, 3), constants=(values(4, 7, 9), values(7, 9)),
         attributes={"axis": 1}),
    Case("Conv", (1,), constants=(values(6, 4, 3, 3), values(6)),
         attributes={"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    Case("Conv", (1,), constants=(values(6, 4, 3, 2),),
         attributes={"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Case("Conv", (1,), (1, 5, 23), (values(3, 5, 3), values(3)), attributes={"dilations": [4]}),
    Case("Gemm", (1,), (3, 20), (values(20, 7), values(7)), attributes={"alpha": 0.5, "beta": 2.0}),
    Case("Gemm", (0,), (20, 3), (values(7, 20),), attributes={"transA": 1, "transB": 1}),
    Case("Gemm", (1,), (3, 20), (values(20, 7), values(3, 1)), opset=9),
    Case("MatMul", (3,), (2, 3, 4, 20), (values(20, 7),)),
    Case("MatMul", (1,), (4, 20), (values(2, 3, 20, 7),)),
    Case("MatMul", (0,), (20,), (values(2, 20, 7),)),
    Case("MatMul", (2,), (2, 5, 20), (values(20),)),
]  # fmt: skip


def bounds_of(extent: int, parts: int) -> tuple[int, ...]:
    """Uneven cut points: the first part gets one entry, the others share the rest."""
    if extent <= parts:
        return tuple(range(extent + 1))
    return (0, *(1 + hi for hi in (0, *(hi for _, hi in split_evenly(extent - 1, parts - 1)))))


def halves(region: Region) -> list[Region]:
    """The region, and its two halves along every axis."""
    cut = [region]
    for axis, (lo, hi) in enumerate(region):
        if hi - lo > 1:
            middle = (lo + hi) // 2
            cut += [region.replace(axis, (lo, middle)), region.replace(axis, (middle, hi))]
    return cut


def assert_close(made: np.ndarray, wanted: np.ndarray, scale: float) -> None:
    assert made.dtype == wanted.dtype
    np.testing.assert_allclose(made, wanted, rtol=0, atol=TOLERANCE * scale)


def assert_split_exactly(
    graph: Graph, tensors: dict[str, np.ndarray], splits: list[ReductionSplit]
) -> None:
    """Every entry of the partial tensor by itself, then every part of what joins them."""
    rewritten = split_reductions(graph, splits)
    finite = tensors["y"][np.isfinite(tensors["y"])]
    scale = float(np.abs(finite).max())
    whole = rewritten.tensors["y"].whole
    everything = run_tile(rewritten, range(len(rewritten.nodes)), {"y": whole}, tensors)["y"]
    assert_close(everything, tensors["y"], scale)
    held = dict(tensors)
    partial = rewritten.tensors["y/partial"]
    assert partial.shape is not None
    parts = partial.shape[: len(splits)]
    held["y/partial"] = np.zeros(partial.shape, partial.dtype)
    for index in np.ndindex(*parts):
        entry = Region([*((place, place + 1) for place in index), *partial.whole[len(splits) :]])
        for region in halves(entry):
            needs = tile_geometry(rewritten, [0], {"y/partial": region}).needs
            for split, place in zip(splits, index, strict=True):
                assert needs["x"][split.axis] == tuple(split.bounds[place : place + 2])
            made = run_tile(rewritten, [0], {"y/partial": region}, tensors)["y/partial"]
            held["y/partial"][region.slices()] = made
    if "y/combine" in rewritten.tensors:
        statistics = rewritten.tensors["y/combine"].whole
        held |= run_tile(rewritten, [1], {"y/combine": statistics}, held)
    last = len(rewritten.nodes) - 1
    for region in halves(whole):
        made = run_tile(rewritten, [last], {"y": region}, held)["y"]
        assert_close(made, tensors["y"][region.slices()], scale)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parts_make_the_unsplit_result(case: Case) -> None:
    graph, tensors = case.graph()
    assert reducible_axes(graph, 0) == case.axes
    shape = tensors["x"].shape
    for axis, parts in zip(case.axes, (2, 3, 5, 2), strict=False):
        assert_split_exactly(
            graph, tensors, [ReductionSplit("n", axis, bounds_of(shape[axis], parts))]
        )
    if len(case.axes) > 1:
        grid = [ReductionSplit("n", a, bounds_of(shape[a], 2)) for a in reversed(case.axes[-2:])]
        assert_split_exactly(graph, tensors, grid)


@pytest.mark.parametrize(
    "kind", ["GlobalAveragePool", "ReduceMean", "ReduceL2", "ReduceProd", "InstanceNormalization"]
)
def test_not_a_number_and_infinity_come_through(kind: str) -> None:
    x = values(1, 4, 6, 5)
    x[0, 1, 2, 3] = np.nan
    x[0, 2, 5, 1] = np.inf
    constants = (values(4), values(4)) if kind == "InstanceNormalization" else ()
    attributes = {"axes": [2, 3]} if kind.startswith("Reduce") else {}
    graph, tensors = Case(kind, (2, 3), constants=constants, attributes=attributes, x=x).graph()
    assert np.isnan(tensors["y"]).any()
    assert_split_exactly(graph, tensors, [ReductionSplit("n", 2, (0, 1, 3, 6))])


def test_many_parts_of_a_large_map_with_a_large_mean() -> None:
    x = values(1, 2, 100, 100, offset=100)
    for kind, constants in (
        ("GlobalAveragePool", ()),
        ("InstanceNormalization", (values(2), values(2))),
    ):
        graph, tensors = Case(kind, (2, 3), constants=constants, x=x).graph()
        splits = [ReductionSplit("n", 2, bounds_of(100, 20))]
        rewritten = split_reductions(graph, splits)
        whole = {"y": rewritten.tensors["y"].whole}
        made = run_tile(rewritten, range(len(rewritten.nodes)), whole, tensors)["y"]
        assert_close(made, tensors["y"], float(np.abs(tensors["y"]).max()))


def test_needs_no_weights_and_survives_json() -> None:
    case = next(case for case in CASES if case.type == "Conv")
    graph, _ = case.graph()
    split = [ReductionSplit("n", 1, (0, 1, 4))]
    bare = split_reductions(weightless(graph), split)
    full = split_reductions(graph, split)
    assert graph_to_json(bare) == graph_to_json(full)
    assert graph_to_json(graph_from_json(graph_to_json(full))) == graph_to_json(full)
    assert bare.flops == full.flops > graph.flops
    assert reducible_axes(weightless(graph), 0) == reducible_axes(graph, 0)


def test_the_rest_of_the_graph_stays() -> None:
    x = values(1, 4, 6, 6)
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "relu"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"], "pool"),
        helper.make_node("Sigmoid", ["p"], ["s"], "gate"),
        helper.make_node("Mul", ["a", "s"], ["y"], "scale"),
    ]
    model = make_model(nodes, {"x": x}, {})
    graph, tensors = build(model), run_all(model, {"x": x})
    rewritten = split_reductions(graph, [ReductionSplit("pool", 2, (0, 2, 6))])
    assert [node.name for node in rewritten.nodes] == [
        "relu", "pool/partial", "pool/combine", "gate", "scale",
    ]  # fmt: skip
    assert set(rewritten.tensors) == {*graph.tensors, "p/partial"}
    first_part = Region([(0, 1), (0, 1), (0, 4), (0, 1), (0, 1)])
    needs = tile_geometry(rewritten, [0, 1], {"p/partial": first_part}).needs
    assert needs == {"x": Region([(0, 1), (0, 4), (0, 2), (0, 6)])}
    whole = {"y": Region.whole(x.shape)}
    made = run_tile(rewritten, range(5), whole, tensors)["y"]
    assert_close(made, tensors["y"], 1.0)
    assert split_reductions(graph, []) is graph


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (ReductionSplit("m", 2, (0, 3, 7)), "there is no node 'm'"),
        (ReductionSplit("n", 1, (0, 2, 4)), "cannot be split along axis 1"),
        (ReductionSplit("n", 2, (0, 3, 6)), r"bounds must ascend from 0 to 7, got \[0, 3, 6\]"),
        (ReductionSplit("n", 2, (0, 3, 3, 7)), "must ascend"),
        (ReductionSplit("n", 2, (1, 7)), "must ascend"),
    ],
)
def test_what_cannot_be_split_is_refused(split: ReductionSplit, message: str) -> None:
    graph, _ = Case("GlobalAveragePool", (2, 3)).graph()
    with pytest.raises(ValueError, match=message):
        split_reductions(graph, [split])


def test_what_is_no_reduction_has_no_axes() -> None:
    x = values(1, 4, 6, 6)
    relu = build(make_model([helper.make_node("Relu", ["x"], ["y"], "n")], {"x": x}, {}))
    grouped = helper.make_node("Conv", ["x", "w"], ["y"], "n", group=2)
    conv = build(make_model([grouped], {"x": x}, {"w": values(4, 2, 3, 3)}))
    noop = helper.make_node("ReduceSum", ["x"], ["y"], "n", noop_with_empty_axes=1)
    identity = build(make_model([noop], {"x": x}, {}))
    assert [reducible_axes(graph, 0) for graph in (relu, conv, identity)] == [(), (), ()]
