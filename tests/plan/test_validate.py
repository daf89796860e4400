"""A plan that cannot be carried out is refused in one line that names the stage and the tensor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swath.errors import PlanError
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.plan.plan import NamedSource, PlanDevice, Stage, Tile
from swath.plan.validate import validate_memory, validate_plan
from tests.plan.plans import chain_graph, layer_plan, rows_of, two_devices

GRAPH = chain_graph()
PLAN = two_devices(GRAPH)


def changed_tile(index: int, **fields: object):
    tiles = list(PLAN.tiles)
    tiles[index] = replace(tiles[index], **fields)
    return replace(PLAN, tiles=tuple(tiles))


BROKEN = {
    "another model": (replace(PLAN, model="0" * 32), "another model"),
    "unknown device": (changed_tile(0, device="c"), "stage 's0': device 'c' is not in the plan"),
    "unknown stage": (changed_tile(0, stage="s9"), "stage 's9' is not in the plan"),
    "unknown leader": (replace(PLAN, exchange="leader", leader="z"), "leader 'z'"),
    "no leader": (replace(PLAN, exchange="leader"), "leader None"),
    "unknown leader of peers": (replace(PLAN, leader="z"), "leader 'z'"),
    "unknown leader of a stage": (
        replace(PLAN, stages=(replace(PLAN.stages[0], leader="z"), *PLAN.stages[1:])),
        "stage 's0': leader 'z' is not in the plan; name one of its devices",
    ),
    "unknown exchange": (replace(PLAN, exchange="gossip"), "exchange 'gossip' is not known"),
    "unknown source": (replace(PLAN, sources=(NamedSource("a", "x1", "z"),)), "device 'z'"),
    "tile of nothing": (changed_tile(0, outputs={}), "the tile makes nothing"),
    "inner tensor": (
        changed_tile(0, outputs={"c0": rows_of(GRAPH, "c0", 0, 6)}),
        "tensor 'c0' is not handed on",
    ),
    "beyond the map": (
        changed_tile(0, outputs={"x1": rows_of(GRAPH, "x1", 0, 13)}),
        "stage 's0' on 'a': tensor 'x1': region [0:1, 0:4, 0:13, 0:8] does not lie in",
    ),
    "empty region": (
        changed_tile(0, outputs={"x1": rows_of(GRAPH, "x1", 3, 3)}),
        "does not lie in",
    ),
    "output not made in full": (replace(PLAN, tiles=PLAN.tiles[:-1]), "output 'x3' is not made"),
    "stage twice": (replace(PLAN, stages=(*PLAN.stages, PLAN.stages[0])), "'s0' is there twice"),
    "unknown node": (
        replace(PLAN, stages=(Stage("s0", ("conv9",)), *PLAN.stages[1:])),
        "node 'conv9' is not in the graph",
    ),
    "nodes out of order": (
        replace(PLAN, stages=(Stage("s0", ("relu0", "conv0")), *PLAN.stages[1:])),
        "not in topological order",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plan_is_refused(case):
    plan, message = BROKEN[case]
    with pytest.raises(PlanError) as error:
        validate_plan(plan, GRAPH)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_good_plan_passes():
    validate_plan(PLAN, GRAPH)


def test_a_region_that_nobody_makes_in_time_is_found_by_the_compiler():
    # b's second layer needs a row of a's first, which stands later in the plan's order.
    plan = layer_plan(GRAPH, [("b", 0, 6, 12), ("b", 1, 6, 12), ("a", 0, 0, 6)])
    with pytest.raises(PlanError, match=r"nobody makes .* of tensor 'x1' before stage 's1' on 'b'"):
        compile_plan(plan)


def test_memory_that_does_not_fit_is_refused_by_device():
    plan = replace(PLAN, devices=(PlanDevice("a", 1 << 30), PlanDevice("b", 1000)))
    with pytest.raises(PlanError, match=r"device 'b' needs .* MiB"):
        validate_memory(plan, compile_plan(plan))
    validate_memory(PLAN, compile_plan(PLAN))


def test_the_tightest_device_is_named_with_what_it_lacks():
    programs = compile_plan(PLAN)
    need = peak_memory(programs)
    little = (PlanDevice("a", need["a"] - 1), PlanDevice("b", need["b"] - 2048))
    with pytest.raises(PlanError, match=r"device 'b' needs .*: it lacks 0.002 MiB; use more"):
        validate_memory(replace(PLAN, devices=little), programs)
    enough = (PlanDevice("a", need["a"]), PlanDevice("b", need["b"]))
    validate_memory(replace(PLAN, devices=enough), programs)


def test_what_draws_random_numbers_has_one_tile():
    from onnx import TensorProto, helper

    from swath.graph.codec import weightless
    from swath.graph.load import load_onnx

    nodes = [helper.make_node("RandomNormalLike", ["x"], ["y"], name="noise", seed=1.0)]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2, 4, 4]) for n in "xy"]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    graph = load_onnx(model)
    whole = graph.tensors["y"].whole
    halves = [whole.replace(2, (0, 2)), whole.replace(2, (2, 4))]
    plan = replace(
        PLAN,
        model=graph.digest,
        graph=weightless(graph),
        stages=(Stage("s", ("noise",)),),
        tiles=tuple(Tile(d, "s", {"y": half}) for d, half in zip("ab", halves, strict=True)),
    )
    with pytest.raises(PlanError, match="random numbers"):
        validate_plan(plan)
