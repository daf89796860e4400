"""CoEdge: one vector of shares, borders from neighbours only, energy under a deadline."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache

import pytest

import swath
from swath.cluster import Cluster, Device, Link, Watts
from swath.cost import nominal_costs
from swath.errors import PlanError
from swath.graph.graph import Graph
from swath.plan.compile import compile_plan
from swath.plan.plan import Plan
from swath.plan.program import COORDINATOR
from swath.planners import Problem, make_planner
from swath.planners.methods.coedge.row_shares import layers_of, row_shares
from swath.planners.objective import predicted_joules, predicted_seconds

LINK = Link(125e6, 1e-4)


@cache
def graph_of(model: str) -> Graph:
    return swath.load(model)


def problem(model: str, devices: list[Device]) -> Problem:
    return Problem(graph_of(model), nominal_costs(Cluster(tuple(devices), "d0", default_link=LINK)))


def equal(count: int) -> list[Device]:
    return [Device(f"d{number}", gflops=1) for number in range(count)]


def planned(asked: Problem) -> tuple[Plan, float]:
    plan = make_planner("coedge").plan(asked)
    return plan, predicted_seconds(plan, compile_plan(plan), asked.costs)


def rows(plan: Plan) -> dict[str, dict[str, tuple[int, int]]]:
    """Rows of each map by device, of the maps that several make."""
    found: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for tile in plan.tiles:
        for name, region in tile.outputs.items():
            if len(region) == 4:
                found[name][tile.device] = region[2]
    return {name: parts for name, parts in found.items() if len(parts) > 1}


def test_all_maps_are_cut_in_the_same_proportions():
    speeds = {"d0": 1.0, "d1": 2.0, "d2": 4.0}
    devices = [Device(name, gflops=speed) for name, speed in speeds.items()]
    plan, _ = planned(problem("zoo:tiny_yolov2@256x256", devices))
    maps = rows(plan)
    tallest = max(maps.values(), key=lambda parts: max(hi for _, hi in parts.values()))
    extent = max(hi for _, hi in tallest.values())
    shares = {name: (hi - lo) / extent for name, (lo, hi) in tallest.items()}
    assert shares["d0"] < shares["d1"] < shares["d2"]
    for parts in maps.values():
        height = max(hi for _, hi in parts.values())
        for name, (lo, hi) in parts.items():
            assert abs((hi - lo) - shares[name] * height) <= 1 + 1e-9


@pytest.mark.parametrize("model", ["zoo:tiny_yolov2@64x64", "zoo:resnet18@96x96", "zoo:unet@64x64"])
@pytest.mark.parametrize("count", [3, 8])
def test_borders_come_from_neighbours_only(model, count):
    """Late maps have fewer rows than eight devices could share: some have to be left out."""
    plan, _ = planned(problem(model, equal(count)))
    tiles = Counter(tile.stage for tile in plan.tiles)
    alone = {name for stage in plan.stages if tiles[stage.name] == 1 for name in stage.nodes}
    gathered = {
        read for node in plan.split_graph.nodes if node.name in alone for read in node.reads
    }
    exchanged = 0
    for message in compile_plan(plan).messages:
        for box in message.boxes:
            parts = rows(plan).get(box.tensor)
            if parts and box.tensor not in gathered and COORDINATOR not in message.receiver:
                order = sorted(parts, key=lambda name: parts[name])
                apart = order.index(message.sender) - order.index(message.receiver)
                assert abs(apart) == 1, box.tensor
                exchanged += 1
    assert exchanged


def test_shares_go_by_speed_and_by_links():
    devices = [Device(f"d{number}", gflops=speed) for number, speed in enumerate((1, 2, 5))]
    free = Link(1e12, 0.0)
    graph = graph_of("zoo:dncnn@128x128")
    asked = Problem(graph, nominal_costs(Cluster(tuple(devices), "d0", default_link=free)))
    shares = row_shares(asked, layers_of(asked), ("d0", "d1", "d2"))
    assert shares.of == pytest.approx({"d0": 1 / 8, "d1": 2 / 8, "d2": 5 / 8}, rel=0.02)
    slow = {("d0", "d2"): Link(5e3, 0.0), ("d2", "d0"): Link(5e3, 0.0)}
    cluster = Cluster(tuple(equal(3)), "d0", default_link=Link(1e9, 0.0), links=slow)
    asked = Problem(graph, nominal_costs(cluster))
    far = row_shares(asked, layers_of(asked), ("d0", "d1", "d2"))
    assert far.of.get("d2", 0.0) < 0.9 * far.of["d1"]


FRUGAL = [
    Device("d0", gflops=1, watts=Watts(0.1, 1.0)),
    Device("d1", gflops=1, watts=Watts(0.1, 1.0)),
    Device("d2", gflops=4, watts=Watts(0.1, 40.0)),
]
"""The fast one needs ten times the energy of the others for the same work."""


def test_energy_leaves_out_who_needs_most_of_it_and_a_deadline_brings_it_back():
    soonest = problem("zoo:tiny_yolov2@64x64", FRUGAL)
    frugal = replace(soonest, objective="energy")
    quick, least_seconds = planned(soonest)
    slow, most_seconds = planned(frugal)
    assert "d2" in quick.devices_used
    assert "d2" not in slow.devices_used
    joules = []
    for part in (0.0, 0.3, 0.7, 1.0):
        deadline = least_seconds + part * (most_seconds - least_seconds)
        plan, seconds = planned(replace(frugal, deadline=deadline * (1 + 1e-9)))
        assert seconds <= deadline * (1 + 1e-9)
        joules.append(predicted_joules(plan, compile_plan(plan), soonest.costs))
    assert joules == sorted(joules, reverse=True)
    assert joules[-1] < joules[0] / 2


def test_a_deadline_that_it_cannot_meet_is_refused_with_the_best_it_can():
    frugal = replace(problem("zoo:tiny_yolov2@64x64", FRUGAL), objective="energy", deadline=1e-4)
    with pytest.raises(PlanError, match=r"deadline of 0.1 ms is not met; the best reachable is"):
        planned(frugal)


def test_energy_needs_watts():
    with pytest.raises(PlanError, match="device 'd0' has no watts"):
        planned(replace(problem("zoo:tiny_yolov2@64x64", equal(2)), objective="energy"))


def test_a_device_that_is_too_small_is_left_out():
    devices = equal(3)
    devices[1] = replace(devices[1], memory=1 << 20)
    plan, _ = planned(problem("zoo:squeezenet@64x64", devices))
    assert plan.devices_used == ("d0", "d2")
