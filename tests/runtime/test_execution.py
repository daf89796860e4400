"""Whatever the plan: in one process and by workers it gives what the unsplit model gives."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from swath.plan.compile import compile_plan
from swath.plan.plan import NamedSource, PlanDevice
from swath.plan.program import COORDINATOR
from swath.plan.validate import validate_plan
from swath.runtime.verify import execute_in_process, make_sessions
from tests.plan.plans import chain_graph, layer_plan, two_devices
from tests.runtime.models import FLOAT, assert_equal, by_node, model, node, values

INT64, BOOL = TensorProto.INT64, TensorProto.BOOL
CHAIN = chain_graph()
SHAPE = [1, 4, 6, 8]

NONZERO = model(
    [node("Relu", "x", "r"), node("NonZero", "r", "n")], {"x": SHAPE}, {"n": (INT64, None)}
)
OPAQUE_BETWEEN = model(
    [
        node("Relu", "x", "r"),
        node("NonZero", "r", "n"),
        node("Transpose", "n", "t", perm=[1, 0]),
        node("GatherND", "r t", "g"),
        node("ReduceSum", "g", "s", keepdims=1),
        node("Add", "r s", "y"),
    ],
    {"x": SHAPE},
    {"y": (FLOAT, SHAPE), "g": (FLOAT, None), "t": (INT64, None)},
)
MANY = model(
    [
        node("Add", "a b", "sum"),
        node("Split", "sum", "top bottom", axis=2),
        node("Sigmoid", "top", "gate"),
        node("Mul", "gate bottom", "y"),
        node("Greater", "bottom zero", "mask"),
        node("Concat", "y c", "z", axis=1),
    ],
    {"a": [1, 4, 8, 8], "b": [1, 4, 8, 8], "c": [1, 2, 4, 8]},
    {
        "z": (FLOAT, [1, 6, 4, 8]),
        "sum": (FLOAT, [1, 4, 8, 8]),
        "mask": (BOOL, [1, 4, 4, 8]),
    },
    {"zero": np.zeros((), np.float32)},
)
THROUGH = model(
    [node("Relu", "x", "y")],
    {"x": SHAPE, "unused": [2]},
    {"y": (FLOAT, SHAPE), "x": (FLOAT, SHAPE), "fixed": (FLOAT, [3])},
    {"fixed": np.arange(3, dtype=np.float32)},
)
NOTHING_TO_COMPUTE = model([], {"x": [2, 2]}, {"x": (FLOAT, [2, 2])})
NO_INPUT = model(
    [node("RandomNormalLike", "k", "noise"), node("Sub", "noise noise", "y")],
    {},
    {"y": (FLOAT, [2, 3])},
    {"k": np.ones((2, 3), np.float32)},
)
EMPTY = model(
    [node("Slice", "x start start", "nothing"), node("Concat", "nothing x", "y", axis=0)],
    {"x": [3, 2]},
    {"y": (FLOAT, [3, 2]), "nothing": (FLOAT, [0, 2])},
    {"start": np.array([0], np.int64)},
)
SCALAR = model(
    [node("ReduceMax", "x", "m", keepdims=0), node("Mul", "m m", "y")],
    {"x": SHAPE},
    {"y": (FLOAT, []), "m": (FLOAT, [])},
)

ROWS_OF_THREE = [
    tile
    for layer in range(3)
    for tile in (("a", layer, 0, 4), ("b", layer, 4, 8), ("c", layer, 8, 12))
]
LAYER_AFTER_LAYER = two_devices(CHAIN)

CASES = {
    "one device": (CHAIN, layer_plan(CHAIN, [("a", layer, 0, 12) for layer in range(3)])),
    "rows": (CHAIN, LAYER_AFTER_LAYER),
    "three devices": (CHAIN, layer_plan(CHAIN, ROWS_OF_THREE)),
    "leader": (CHAIN, layer_plan(CHAIN, ROWS_OF_THREE, exchange="leader", leader="b")),
    "leader without tiles": (
        CHAIN,
        layer_plan(
            CHAIN,
            [t for layer in range(3) for t in (("a", layer, 0, 5), ("b", layer, 5, 12))],
            devices=tuple(PlanDevice(name) for name in "abc"),
            exchange="leader",
            leader="c",
        ),
    ),
    # The upper device runs ahead as far as its rows reach.
    "not stage by stage": (
        CHAIN,
        layer_plan(
            CHAIN,
            [
                ("a", 0, 0, 6),
                ("a", 1, 0, 5),
                ("a", 2, 0, 4),
                ("b", 0, 6, 12),
                ("b", 1, 5, 12),
                ("b", 2, 4, 12),
            ],
        ),
    ),
    "border tiles first": (
        CHAIN,
        layer_plan(
            CHAIN,
            [
                tile
                for layer in range(3)
                for tile in (
                    ("a", layer, 5, 6),
                    ("b", layer, 6, 7),
                    ("a", layer, 0, 5),
                    ("b", layer, 7, 12),
                )
            ],
        ),
    ),
    "redundant tiles": (
        CHAIN,
        layer_plan(
            CHAIN,
            [
                ("a", 0, 0, 8),
                ("b", 0, 4, 12),
                ("a", 1, 0, 7),
                ("b", 1, 5, 12),
                ("a", 2, 0, 6),
                ("b", 2, 6, 12),
            ],
        ),
    ),
    "everything twice": (
        CHAIN,
        layer_plan(CHAIN, [(device, layer, 0, 12) for layer in range(3) for device in "ab"]),
    ),
    "named source": (
        CHAIN,
        layer_plan(
            CHAIN,
            [("a", 0, 0, 12), ("b", 0, 0, 12), ("c", 1, 0, 12), ("c", 2, 0, 12)],
            sources=(NamedSource("c", "x1", "b"),),
        ),
    ),
    "a device that takes part once": (
        CHAIN,
        layer_plan(CHAIN, [("a", 0, 0, 12), ("a", 1, 0, 6), ("b", 1, 6, 12), ("a", 2, 0, 12)]),
    ),
    "unknown shape at the end": (NONZERO, by_node(NONZERO, ["a", "b"])),
    "unknown shape between": (OPAQUE_BETWEEN, by_node(OPAQUE_BETWEEN, ["a", "b"])),
    "unknown shape on one": (OPAQUE_BETWEEN, by_node(OPAQUE_BETWEEN, ["a"])),
    "unknown shape and leader": (
        OPAQUE_BETWEEN,
        by_node(OPAQUE_BETWEEN, ["a", "b", "c"], exchange="leader", leader="c"),
    ),
    "several inputs and outputs": (MANY, by_node(MANY, ["a", "b"])),
    "inputs and constants as outputs": (THROUGH, by_node(THROUGH, ["a"])),
    "nothing to compute": (NOTHING_TO_COMPUTE, by_node(NOTHING_TO_COMPUTE, ["a"])),
    "no input": (NO_INPUT, by_node(NO_INPUT, ["a", "b"])),
    "an empty tensor": (EMPTY, by_node(EMPTY, ["a", "b"])),
    "scalars": (SCALAR, by_node(SCALAR, ["a", "b"])),
}


@pytest.fixture(params=list(CASES))
def case(request):
    graph, plan = CASES[request.param]
    validate_plan(plan, graph)
    return graph, compile_plan(plan)


def test_in_process(case):
    graph, programs = case
    inputs = values(graph)
    sessions = make_sessions(programs, graph)
    made = {
        tensor: array
        for party, tensor, _, array in execute_in_process(programs, sessions, inputs)
        if party == COORDINATOR
    }
    given = {name: inputs[name] for name in graph.outputs if name in inputs}
    fixed = {n: graph.constants[n].data for n in graph.outputs if n in graph.constants}
    everything = {**given, **fixed, **made}
    assert_equal(graph, {name: everything[name] for name in graph.outputs}, inputs)


def test_by_workers(case, threads):
    graph, programs = case
    coordinator = threads("a", "b", "c").coordinator()
    deployment = coordinator.install(programs, graph)
    for seed in range(3):
        inputs = values(graph, seed)
        assert_equal(graph, deployment.run(inputs), inputs)


def test_every_message_that_comes_is_awaited(case):
    _, programs = case
    for program in programs.by_device.values():
        awaited = frozenset().union(*program.awaited)
        assert {message.number for message in program.incoming} <= awaited


def test_outputs_are_arrays_of_the_callers_own(threads):
    graph, plan = CASES["inputs and constants as outputs"]
    deployment = threads("a").coordinator().install(compile_plan(plan), graph)
    inputs = values(graph)
    first = deployment.run(inputs)
    for array in first.values():
        array[...] = 7.0
    assert_equal(graph, deployment.run(inputs), inputs)


def test_nan_and_infinity_come_out_as_the_unsplit_model_gives_them(threads):
    deployment = threads("a", "b").coordinator().install(compile_plan(LAYER_AFTER_LAYER), CHAIN)
    inputs = values(CHAIN)
    inputs["x0"][0, 0, 5, 3] = np.nan
    inputs["x0"][0, 1, 9, 0] = np.inf
    assert_equal(CHAIN, deployment.run(inputs), inputs)
