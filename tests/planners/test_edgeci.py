"""EdgeCI and its parts: what they reckon is what tiles take, idle and roomy devices win, and
auction and fusing together are sooner than either alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.program import COORDINATOR, Compute
from swath.plan.validate import validate_memory, validate_plan
from swath.planners import Problem, make_planner
from swath.planners.building.fusing import Segment
from swath.planners.building.layouts import Split
from swath.planners.building.weighing import parts_of
from swath.planners.methods.edgeci.awas import by_auction, over_fixed_blocks
from swath.planners.methods.edgeci.dpfl import equally, over_best_blocks
from swath.planners.methods.edgeci.master import Master
from swath.planners.methods.edgeci.row_blocks import RowBlocks
from swath.planners.methods.edgeci.units import fixed_cuts, unit_cuts
from swath.planners.objective import predicted_seconds

ALL = ("edgeci", "awas", "awas-greedy", "dpfl")
RESNET = "zoo:resnet18@64x64"
VGG = "zoo:vgg11@64x64"
MIB = 2**20


@cache
def graph_of(model: str) -> Graph:
    return swath.load(model)


def cluster(speeds: tuple[float, ...], mbit: float = 1000, **memory: int) -> Cluster:
    devices = tuple(
        Device(f"d{place}", gflops=speed, memory=memory.get(f"d{place}"))
        for place, speed in enumerate(speeds)
    )
    return Cluster(devices, "d0", default_link=Link(mbit * 125e3, 1e-4))


UNEVEN = (5.0, 10.0, 2.0, 7.0)
EVEN = (5.0,) * 4


def planned(name: str, model: str, devices: Cluster) -> Plan:
    return make_planner(name).plan(Problem(graph_of(model), nominal_costs(devices)))


def seconds(name: str, model: str, devices: Cluster) -> float:
    plan = planned(name, model, devices)
    return predicted_seconds(plan, compile_plan(plan), nominal_costs(devices))


def flops(plan: Plan) -> dict[str, int]:
    """By device."""
    return {
        device: sum(step.flops for step in program.steps if isinstance(step, Compute))
        for device, program in compile_plan(plan).by_device.items()
    }


@settings(max_examples=60)
@given(
    st.sampled_from([RESNET, VGG, "zoo:squeezenet@64x64"]),
    st.integers(0, 100),
    st.integers(1, 4),
    st.data(),
)
def test_rows_of_a_block_take_what_their_tile_takes(model, number, length, data):
    """From two lookups: the same bytes, and the same seconds to within one row's (those at the
    border are taken for rows in the middle)."""
    graph, costs = graph_of(model), nominal_costs(cluster(UNEVEN))
    blocks, cuts = RowBlocks(graph, costs), unit_cuts(graph)
    start = number % (len(cuts) - 1)
    block = blocks.block(cuts[start], cuts[min(start + length, len(cuts) - 1)])
    lo = data.draw(st.integers(0, block.rows - 1))
    hi = data.draw(st.integers(lo + 1, block.rows))
    counts = (float(lo), float(hi - lo), float(block.rows - hi))
    segment = Segment(block.start, block.stop, Split("rows", ("d0", "d1", "d2"), counts))
    if block.rows == 1:
        segment = replace(segment, split=Split.alone("d1"))
    part = parts_of(blocks.layouts, costs, segment)[-2 if block.rows > 1 else 0]
    of_rows = np.array(1), np.array(lo), np.array(hi)
    assert block.needed(*of_rows[1:]) == part.read
    assert block.made * (hi - lo) == part.made
    row = float(block.seconds(of_rows[0], np.array(0), np.array(block.rows))) / block.rows
    assert block.seconds(*of_rows) == pytest.approx(part.seconds, rel=0.02, abs=row)


@pytest.mark.parametrize("mbit", [10, 100, 1000])
@pytest.mark.parametrize("model", [RESNET, VGG, "zoo:squeezenet@64x64", "zoo:mobilenet_v1@64x64"])
def test_together_they_are_reckoned_no_slower_than_alone(model, mbit):
    problem = Problem(graph_of(model), nominal_costs(cluster(UNEVEN, mbit)))
    blocks = RowBlocks(problem.graph, problem.costs)
    master = Master(problem, blocks, [device.name for device in problem.costs.cluster.devices])
    edgeci = over_best_blocks(master, by_auction).seconds
    assert edgeci <= over_best_blocks(master, equally).seconds
    assert edgeci <= over_fixed_blocks(master, by_auction).seconds


@pytest.mark.parametrize("model", ["zoo:resnet18", "zoo:squeezenet"])
def test_together_they_are_simulated_sooner_than_alone(model):
    edgeci, awas, _, dpfl = (seconds(name, model, cluster(UNEVEN, 100)) for name in ALL)
    assert edgeci < min(awas, dpfl)


@pytest.mark.parametrize("speeds", [EVEN, UNEVEN])
def test_what_is_reckoned_is_near_what_is_simulated(speeds):
    problem = Problem(graph_of("zoo:resnet18"), nominal_costs(cluster(speeds)))
    master = Master(problem, RowBlocks(problem.graph, problem.costs), ["d0", "d1", "d2", "d3"])
    reckoned = over_best_blocks(master, by_auction).seconds
    assert seconds("edgeci", "zoo:resnet18", cluster(speeds)) == pytest.approx(reckoned, rel=0.1)


@pytest.mark.parametrize("name", ["edgeci", "awas", "awas-greedy"])
def test_idle_devices_win(name):
    """The same devices, one of them at a fifth of its speed because others use it."""
    idle = flops(planned(name, "zoo:resnet18", cluster(EVEN)))
    loaded = flops(planned(name, "zoo:resnet18", cluster((5.0, 5.0, 1.0, 5.0))))
    assert loaded["d2"] < 0.5 * idle["d2"]
    assert min(loaded[other] for other in ("d0", "d1", "d3")) > 3 * loaded["d2"]


def test_equal_shares_wait_for_the_loaded_device():
    loaded = cluster((5.0, 5.0, 1.0, 5.0))
    assert seconds("edgeci", "zoo:resnet18", loaded) < 0.7 * seconds("dpfl", "zoo:resnet18", loaded)


@pytest.mark.parametrize("name", ALL)
def test_who_has_no_memory_gets_nothing(name):
    """Though it is by far the fastest."""
    plan = planned(name, RESNET, cluster((5.0, 50.0, 5.0), d1=MIB // 64))
    assert "d1" not in plan.devices_used
    assert len(plan.devices_used) == 2 or name == "dpfl"


@pytest.mark.parametrize("name", ALL)
def test_who_has_little_memory_gets_what_fits(name):
    """It is much the fastest, but all weights are too many for it."""
    roomy, little = (cluster((5.0, 20.0, 5.0), 10_000, **room) for room in ({}, {"d1": 20 * MIB}))
    plan = planned(name, "zoo:resnet18", little)
    validate_memory(plan, compile_plan(plan))
    assert 0 < flops(plan)["d1"] < 0.95 * flops(planned(name, "zoo:resnet18", roomy))["d1"]


@pytest.mark.parametrize("name", ALL)
def test_where_nobody_has_room_it_says_who_lacks_what(name):
    tiny = cluster((5.0, 5.0), d0=5 * MIB, d1=6 * MIB)
    with pytest.raises(PlanError, match=r"'d.' is nearest and lacks [\d.]+ MiB; use more devices"):
        planned(name, RESNET, tiny)


@pytest.mark.parametrize("name", ALL)
def test_maps_pass_through_the_master(name):
    plan = planned(name, RESNET, cluster(UNEVEN))
    assert (plan.exchange, plan.leader) == ("leader", "d0")
    for message in compile_plan(plan).messages:
        assert {message.sender, message.receiver} & {"d0", COORDINATOR}


def test_fusing_goes_further_where_links_are_slow():
    slow, quick = (planned("dpfl", VGG, cluster(EVEN, mbit)) for mbit in (20, 10_000))
    assert len(slow.stages) < len(quick.stages)


def test_fixed_blocks_end_with_pools_and_modules_stay_whole():
    vgg, resnet = graph_of(VGG), graph_of(RESNET)
    ends = [vgg.nodes[cut - 1].type for cut in fixed_cuts(vgg)[1:]]
    assert ends[:5] == ["MaxPool"] * 5
    inner = [resnet.nodes[cut - 1].name for cut in fixed_cuts(resnet)[2:10]]
    assert all(name.endswith("add.relu") for name in inner)


def test_a_skip_longer_than_a_module_is_cut():
    graph = graph_of("zoo:unet@64x64")
    assert len(unit_cuts(graph)) > 8


@pytest.mark.parametrize("name", ALL)
def test_more_devices_than_rows(name):
    plan = planned(name, RESNET, cluster(tuple(1.0 + place % 7 for place in range(200)), 10_000))
    validate_plan(plan, graph_of(RESNET))
    assert len(plan.devices_used) < 40
