"""What travels is what is needed minus what is held; every order that data allows will do."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import swath
from swath.cluster import Cluster, Device
from swath.cost import nominal_costs
from swath.ops import Region, subtract_all
from swath.plan.codec import load_plan, plan_from_json, plan_to_json, save_plan
from swath.plan.compile import compile_plan, sketch_plan
from swath.plan.memory import ALIGNMENT, contiguous_offset, layout, peak_memory
from swath.plan.order import CHANNELS_LAST
from swath.plan.plan import NamedSource
from swath.plan.program import COORDINATOR, Compute, Send
from swath.plan.transport import program_from_json, program_to_json
from swath.plan.validate import validate_plan
from swath.runtime.verify import verify_plan
from swath.simulate import make_script
from tests.plan.plans import ROWS, chain_graph, layer_plan, rows_of, two_devices

GRAPH = chain_graph()
INPUTS = {"x0": np.random.default_rng(1).standard_normal((1, 4, ROWS, 8)).astype(np.float32)}


def sent(programs, sender, receiver):
    """Boxes from one to the other, in order."""
    return [
        (box.tensor, box.region)
        for message in programs.messages
        if (message.sender, message.receiver) == (sender, receiver)
        for box in message.boxes
    ]


def assert_exact(plan):
    validate_plan(plan, GRAPH)
    found = verify_plan(plan, GRAPH, INPUTS)
    assert found.within_tolerance
    return found


def test_neighbours_exchange_just_their_halo():
    programs = compile_plan(two_devices(GRAPH))
    assert sent(programs, "a", "b") == [
        ("x1", rows_of(GRAPH, "x1", 5, 6)),
        ("x2", rows_of(GRAPH, "x2", 5, 6)),
    ]
    assert sent(programs, "b", "a") == [
        ("x1", rows_of(GRAPH, "x1", 6, 7)),
        ("x2", rows_of(GRAPH, "x2", 6, 7)),
    ]
    assert sent(programs, COORDINATOR, "a") == [("x0", rows_of(GRAPH, "x0", 0, 7))]
    assert sent(programs, "b", COORDINATOR) == [("x3", rows_of(GRAPH, "x3", 6, 12))]
    row = 4 * 8 * 4
    assert programs.bytes_moved == row * (4 + 14 + 12)


def test_messages_leave_right_after_the_tile_that_makes_them():
    program = compile_plan(two_devices(GRAPH)).by_device["a"]
    kinds = [type(step) for step in program.steps]
    assert kinds == [Compute, Send, Compute, Send, Compute, Send]
    numbers = [message.number for message in program.outgoing]
    assert numbers == sorted(numbers)


def test_with_a_leader_everything_passes_through_it():
    tiles = [
        t
        for layer in range(3)
        for t in (("a", layer, 0, 4), ("b", layer, 4, 8), ("c", layer, 8, 12))
    ]
    plan = layer_plan(GRAPH, tiles, exchange="leader", leader="b")
    programs = compile_plan(plan)
    assert sent(programs, "a", "c") == sent(programs, "c", "a") == []
    # The leader gets all that a made, and hands on no more than is needed.
    assert ("x1", rows_of(GRAPH, "x1", 0, 4)) in sent(programs, "a", "b")
    assert sent(programs, "b", "c") == [
        ("x1", rows_of(GRAPH, "x1", 7, 8)),
        ("x2", rows_of(GRAPH, "x2", 7, 8)),
    ]
    assert_exact(plan)


def test_a_leader_forwards_what_others_made():
    # With a halo of one row, a and c only meet through b when b's share is a single row.
    tiles = [t for layer in range(3) for t in (("a", layer, 0, 6), ("c", layer, 6, 12))]
    plan = layer_plan(GRAPH, [*tiles, ("b", 0, 0, 1)], exchange="leader", leader="b")
    programs = compile_plan(plan)
    assert sent(programs, "a", "c") == []
    assert ("x1", rows_of(GRAPH, "x1", 5, 6)) in sent(programs, "b", "c")
    assert_exact(plan)


def test_a_stage_may_have_a_leader_of_its_own():
    tiles = [
        t
        for layer in range(3)
        for t in (("a", layer, 0, 4), ("b", layer, 4, 8), ("c", layer, 8, 12))
    ]
    halo = rows_of(GRAPH, "x1", 7, 8)
    peers = with_leaders(layer_plan(GRAPH, tiles), c=["s0"])
    programs = compile_plan(peers)
    assert sent(programs, "a", "c")[0] == ("x1", rows_of(GRAPH, "x1", 0, 4))
    assert ("x1", rows_of(GRAPH, "x1", 3, 4)) in sent(programs, "c", "b")
    assert [box for box in sent(programs, "a", "b") if box[0] == "x1"] == []
    assert ("x2", rows_of(GRAPH, "x2", 3, 4)) in sent(programs, "a", "b")
    assert_exact(peers)
    # The plan's leader has the other stages.
    led = with_leaders(layer_plan(GRAPH, tiles, exchange="leader", leader="a"), b=["s1"])
    programs = compile_plan(led)
    assert ("x1", halo) in sent(programs, "a", "c")
    assert ("x2", rows_of(GRAPH, "x2", 7, 8)) in sent(programs, "b", "c")
    assert sent(programs, "c", "b") == [("x2", rows_of(GRAPH, "x2", 8, 12))]
    assert_exact(led)


def test_a_leader_does_not_wait_for_what_waits_for_its_own_tiles():
    # c reads x2 before d makes the rest of it from what the leader, b, is still to compute.
    tiles = [
        ("a", 0, 0, 8),
        ("a", 1, 0, 6),
        ("c", 2, 0, 4),
        ("b", 0, 5, 12),
        ("d", 1, 6, 12),
        ("c", 2, 4, 12),
    ]
    assert_exact(layer_plan(GRAPH, tiles, exchange="leader", leader="b"))


def with_leaders(plan, **stages):
    """The plan with these stages led by these devices."""
    leader_of = {stage: device for device, led in stages.items() for stage in led}
    return replace(
        plan,
        stages=tuple(replace(stage, leader=leader_of.get(stage.name)) for stage in plan.stages),
    )


def test_tiles_need_not_go_stage_by_stage():
    # a runs ahead by recomputing what it would have to wait for.
    tiles = [
        ("a", 0, 0, 8),
        ("a", 1, 0, 7),
        ("a", 2, 0, 6),
        ("b", 0, 5, 12),
        ("b", 1, 5, 12),
        ("b", 2, 6, 12),
    ]
    plan = layer_plan(GRAPH, tiles)
    programs = compile_plan(plan)
    assert sent(programs, "b", "a") == []
    assert sent(programs, "a", "b") == [("x1", rows_of(GRAPH, "x1", 4, 5))]
    assert_exact(plan)


def test_what_several_hold_comes_from_the_named_source():
    tiles = [("a", 0, 0, 12), ("b", 0, 0, 12), ("c", 1, 0, 12), ("c", 2, 0, 12)]
    first = compile_plan(layer_plan(GRAPH, tiles))
    assert sent(first, "a", "c") and not sent(first, "b", "c")
    named = layer_plan(GRAPH, tiles, sources=(NamedSource("c", "x1", "b"),))
    assert sent(compile_plan(named), "b", "c") and not sent(compile_plan(named), "a", "c")
    assert_exact(named)


def test_the_same_path_comes_before_the_first_holder():
    plan = layer_plan(GRAPH, [("a", 0, 0, 12), ("b", 0, 0, 12), ("c", 1, 0, 12), ("c", 2, 0, 12)])
    tiles = list(plan.tiles)
    tiles[1], tiles[2] = replace(tiles[1], path="p"), replace(tiles[2], path="p")
    plan = replace(plan, tiles=tuple(tiles))
    assert sent(compile_plan(plan), "b", "c") and not sent(compile_plan(plan), "a", "c")
    assert_exact(plan)


def test_own_device_comes_first():
    plan = layer_plan(GRAPH, [("a", 0, 0, 12), ("b", 0, 0, 12), ("b", 1, 0, 12), ("b", 2, 0, 12)])
    assert sent(compile_plan(plan), "a", "b") == []


def test_a_plan_survives_its_file(tmp_path):
    plan = two_devices(GRAPH, sources=(NamedSource("a", "x1", "b"),))
    save_plan(plan, tmp_path / "plan.json")
    again = load_plan(tmp_path / "plan.json")
    assert again == plan
    assert compile_plan(again).version == compile_plan(plan).version
    assert plan_from_json(plan_to_json(plan)) == plan


def test_a_leader_is_written_down_with_its_stage():
    plan = two_devices(GRAPH)
    # As files of plans were before stages had leaders.
    assert all(set(stage) == {"name", "nodes"} for stage in plan_to_json(plan)["stages"])
    led = with_leaders(plan, b=["s1"])
    assert [stage.get("leader") for stage in plan_to_json(led)["stages"]] == [None, "b", None]
    assert plan_from_json(plan_to_json(led)) == led


def test_a_program_survives_its_transport():
    import json

    for program in compile_plan(two_devices(GRAPH)).by_device.values():
        assert program_from_json(json.loads(json.dumps(program_to_json(program)))) == program


@st.composite
def tilings(draw):
    """Rows of each layer cut anywhere, given to any of three devices, some made twice."""
    tiles = []
    for layer in range(3):
        cuts = sorted(draw(st.sets(st.integers(1, ROWS - 1), max_size=3)))
        bounds = [0, *cuts, ROWS]
        spans = list(pairwise(bounds))
        if draw(st.booleans()):
            spans.append(draw(st.sampled_from(spans)))
        tiles += [(draw(st.sampled_from("abc")), layer, lo, hi) for lo, hi in spans]
    return tiles


WIDE = chain_graph(channels=16)
WIDE_INPUTS = {"x0": np.random.default_rng(2).standard_normal((1, 16, ROWS, 8), np.float32)}


def test_maps_split_by_rows_lie_channels_last_in_their_readers_input():
    plan = two_devices(WIDE)
    program = compile_plan(plan).by_device["a"]
    assert program.steps[0].outputs[0].order == CHANNELS_LAST
    assert program.steps[-2].outputs[0].order == ()  # The caller wants it in its own order.
    inside = layout(program).inside
    assert [(out.step, container.step) for out, container in inside.items()] == [(0, 2), (2, 4)]
    assert verify_plan(plan, WIDE, WIDE_INPUTS).bit_exact


@settings(max_examples=40)
@given(tilings(), st.sampled_from(["peer", "leader"]))
def test_any_tiling_is_exact_in_channels_last_order(tiles, exchange):
    leader = tiles[0][0] if exchange == "leader" else None
    plan = layer_plan(WIDE, tiles, exchange=exchange, leader=leader)
    assert verify_plan(plan, WIDE, WIDE_INPUTS).within_tolerance


@pytest.mark.parametrize(
    ("part", "container", "order", "offset"),
    [
        ([(0, 1), (0, 4), (2, 4), (0, 8)], [(0, 1), (0, 4), (1, 6), (0, 8)], CHANNELS_LAST, 32),
        ([(0, 1), (0, 4), (2, 4), (0, 8)], [(0, 1), (0, 4), (1, 6), (0, 8)], (), None),
        ([(0, 1), (0, 4), (2, 4), (0, 8)], [(0, 1), (0, 4), (2, 4), (0, 8)], (), 0),
        ([(0, 1), (2, 4), (0, 5), (0, 8)], [(0, 1), (0, 4), (0, 5), (0, 8)], (), 80),
        ([(0, 1), (1, 2), (2, 4), (0, 8)], [(0, 1), (0, 4), (0, 5), (0, 8)], (), 56),
        ([(0, 2), (0, 2)], [(0, 2), (0, 4)], (), None),
    ],
)
def test_where_a_part_is_one_run_of_memory(part, container, order, offset):
    part, container = Region(part), Region(container)
    assert contiguous_offset(part, container, order) == offset
    if offset is not None:
        axes = order or tuple(range(len(part)))
        memory = np.zeros([container.shape[axis] for axis in axes])
        view = memory.transpose(np.argsort(axes))
        view[part.relative_to(container).slices()] = 1
        flat = memory.reshape(-1)
        assert flat[offset : offset + part.size].all()
        assert flat.sum() == part.size


@settings(max_examples=40)
@given(tilings(), st.sampled_from(["peer", "leader"]), st.data())
def test_any_tiling_is_exact(tiles, exchange, data):
    leader = tiles[0][0] if exchange == "leader" else None
    plan = layer_plan(GRAPH, tiles, exchange=exchange, leader=leader)
    leaders = st.sampled_from([None, *(device.name for device in plan.devices)])
    stages = tuple(replace(stage, leader=data.draw(leaders)) for stage in plan.stages)
    plan = replace(plan, stages=stages)
    assert_exact(plan)
    programs = compile_plan(plan)
    assert_nothing_travels_twice(programs)
    for program in programs.by_device.values():
        assert_lives_do_not_overlap(program)


def assert_nothing_travels_twice(programs):
    """No device is sent what it was sent before, or made itself before."""
    for device, program in programs.by_device.items():
        seen: dict[str, list[Region]] = {}
        for message in program.incoming:
            for box in message.boxes:
                known = seen.setdefault(box.tensor, [])
                assert subtract_all(box.region, known) == (box.region,), (device, box)
                known.append(box.region)


def assert_lives_do_not_overlap(program):
    """Arrays that are alive at the same time lie apart."""
    plan = layout(program)
    last: dict[object, int] = {}
    sizes = {}
    for index, step in enumerate(program.steps):
        for key in plan.offsets:
            if key.step == index:
                last[key] = index
        boxes = [*step.outputs, *(i.box for i in step.inputs)] if isinstance(step, Compute) else []
        for box in boxes:
            sizes[index, box.tensor] = box.nbytes
        pieces = (
            step.pieces if isinstance(step, Send) else [p for i in step.inputs for p in i.pieces]
        )
        tensors = (
            [box.tensor for box in program.messages[step.message].boxes]
            if isinstance(step, Send)
            else [i.box.tensor for i in step.inputs for _ in i.pieces]
        )
        for piece, tensor in zip(pieces, tensors, strict=True):
            for key in plan.offsets:
                if key.step == piece.step and key.tensor == tensor and not key.is_input:
                    last[key] = index
    keys = list(plan.offsets)
    for one in keys:
        assert plan.offsets[one] % ALIGNMENT == 0
        for other in keys:
            if one != other and one.step <= last[other] and other.step <= last[one]:
                start, stop = plan.offsets[one], plan.offsets[one] + sizes[one.step, one.tensor]
                begin, end = (
                    plan.offsets[other],
                    plan.offsets[other] + sizes[other.step, other.tensor],
                )
                assert stop <= begin or end <= start, (one, other)


def test_memory_is_counted_with_weights_and_messages():
    programs = compile_plan(two_devices(GRAPH))
    peaks = peak_memory(programs)
    weights = 3 * 4 * 4 * 9 * 4
    assert all(peak > 2 * weights for peak in peaks.values())


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"swath_plan": 1}', '{"swath_plan": 99}'])
def test_what_is_no_plan_is_refused_in_one_line(tmp_path, content):
    from swath.errors import PlanError

    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(PlanError) as error:
        load_plan(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_sketch_takes_as_long_as_the_programs():
    """It lacks models alone, at which the simulator does not look."""
    graph = swath.load("zoo:squeezenet@64x64")
    cluster = Cluster(tuple(Device(name, gflops=5) for name in "abc"), "a")
    costs = nominal_costs(cluster)
    plan = swath.plan(graph, cluster, "even")
    programs, sketch = compile_plan(plan), sketch_plan(plan)
    assert programs.models and not sketch.models
    assert make_script(plan, sketch, costs) == make_script(plan, programs, costs)
