"""Tables of strips say what the rules say, and the search over them knows what a plan takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import swath
from swath.cluster import Cluster, Device, Link
from swath.cost import Costs, nominal_costs
from swath.graph.graph import Graph
from swath.ops import Region
from swath.plan.compile import compile_plan
from swath.plan.memory import peak_memory
from swath.planners import Problem
from swath.planners.auto.searching import Search
from swath.planners.auto.subsets import candidate_splits
from swath.planners.building.assembling import assemble
from swath.planners.building.layouts import Layouts, Split
from swath.planners.building.strips import Strips
from swath.planners.building.tables import Tables
from swath.planners.objective import predicted_seconds

NAMES = ("a", "b", "c")
UNEVEN = (1.0, 2.5, 0.4)
SPLITS = (
    Split("rows", NAMES, UNEVEN),
    Split("cols", ("c", "a"), (1.0, 1.0)),
    Split("channels", NAMES, UNEVEN),
    Split.alone("b"),
)


def cluster(mbit: float = 1000, **fields: Any) -> Cluster:
    devices = tuple(
        Device(name, gflops=5 * weight) for name, weight in zip(NAMES, UNEVEN, strict=True)
    )
    return Cluster(devices, "a", default_link=Link(mbit * 125e3, 1e-3), **fields)


def hulls(graph: Graph, position: int, made: Region, name: str) -> Region | None:
    """What a part of a node's only output needs of one tensor."""
    demand = graph.rules[position].demand(graph.operators[position], (made,))
    found: Region | None = None
    for read, region in zip(graph.nodes[position].reads, demand.inputs, strict=True):
        if read == name and region is not None:
            found = region if found is None else found.hull(region)
    return found


@pytest.mark.parametrize("model", ["vgg11", "resnet18", "googlenet", "mobilenet_v3_small", "unet"])
def test_strips_need_what_the_rules_say(model):
    graph = swath.load(f"zoo:{model}@64x64")
    layouts, costs = Layouts(graph), nominal_costs(cluster())
    tables = Tables(layouts, costs)
    strips = Strips(tables, SPLITS)
    for name, position in graph.producers.items():
        if len(graph.nodes[position].outputs) > 1:
            continue
        held = strips.held(name)
        needed = dict(strips.work(name).needed(held))
        for row, split in enumerate(SPLITS):
            made = dict(zip(split.devices, layouts.of(name, split), strict=True))
            for column, device in enumerate(NAMES):
                region = made.get(device)
                assert bool(held.sizes[row, column]) == (region is not None)
                for read, ends in needed.items():
                    hull = None if region is None else hulls(graph, position, region, read)
                    axis = tables.axis(read, split.mode)
                    lo, hi = int(ends.lo[row, column]), int(ends.hi[row, column])
                    if hull is None:
                        assert lo >= hi
                    elif axis is None:
                        assert (lo, hi) == (0, 1)
                    else:
                        assert lo <= hull[axis][0] and hull[axis][1] <= hi
                        # Reshaped maps are not looked at entry by entry.
                        if graph.nodes[position].type not in ("Flatten", "Reshape"):
                            assert (lo, hi) == hull[axis]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        pytest.param({"network": "shared"}, marks=pytest.mark.slow),
        pytest.param({"network": "star", "hub": "b"}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("mbit", [50, 1000])
@pytest.mark.parametrize("model", ["vgg11", "resnet18", "mobilenet_v3_small"])
def test_the_search_knows_what_its_plan_takes(model, mbit, fields):
    """Its estimate is near the simulation of what it finds."""
    graph = swath.load(f"zoo:{model}@128x128")
    costs = nominal_costs(cluster(mbit, **fields))
    result = found(graph, costs)
    plan = assemble("test", Problem(graph, costs), Layouts(graph), result.segments)
    simulated = predicted_seconds(plan, compile_plan(plan), costs)
    assert result.seconds == pytest.approx(simulated, rel=0.15)
    assert result.segments[0].start == 0 and result.segments[-1].stop == len(graph.nodes)


def test_who_takes_borders_to_travel_unnoticed_expects_less():
    graph = swath.load("zoo:resnet18@128x128")
    costs = nominal_costs(cluster(100))
    strips = Strips(Tables(Layouts(graph), costs), candidate_splits(graph, costs))
    nothing, half, all_of_it = Search(strips, costs).best(dict.fromkeys((0.0, 0.5, 1.0)))
    assert nothing.seconds > half.seconds > all_of_it.seconds


def found(graph: Graph, costs: Costs):
    splits = candidate_splits(graph, costs)
    (result,) = Search(Strips(Tables(Layouts(graph), costs), splits), costs).best({0.0: None})
    return result


def test_what_a_device_has_no_room_for_goes_to_others():
    graph = swath.load("zoo:vgg11@64x64")
    costs = nominal_costs(cluster())
    strips = Strips(Tables(Layouts(graph), costs), candidate_splits(graph, costs))
    peaks = []
    for room in (None, np.array([np.inf, 0.3 * graph.weight_bytes, np.inf])):
        (result,) = Search(strips, costs).best({0.0: room})
        plan = assemble("test", Problem(graph, costs), Layouts(graph), result.segments)
        peaks.append(peak_memory(compile_plan(plan)).get("b", 0))
    assert peaks[1] <= 0.3 * graph.weight_bytes < peaks[0]


@pytest.mark.parametrize("model", ["vgg11@64x64", "mobilenet_v2@112x112"])
def test_it_is_estimated_what_devices_need(model):
    """Weights take up memory all the time, also while the largest maps are there."""
    graph = swath.load(f"zoo:{model}")
    costs = nominal_costs(cluster())
    strips = Strips(Tables(Layouts(graph), costs), candidate_splits(graph, costs))
    room = np.array([np.inf, 1.8 * graph.weight_bytes, np.inf])
    (result,) = Search(strips, costs).best({0.0: room})
    plan = assemble("test", Problem(graph, costs), Layouts(graph), result.segments)
    peaks = peak_memory(compile_plan(plan))
    needed = [peaks.get(name, 0) for name in strips.tables.devices]
    assert result.peak == pytest.approx(needed, rel=0.15, abs=2**20)


def test_where_nobody_has_room_there_is_no_result():
    graph = swath.load("zoo:vgg11@64x64")
    costs = nominal_costs(cluster())
    strips = Strips(Tables(Layouts(graph), costs), candidate_splits(graph, costs))
    assert Search(strips, costs).best(dict.fromkeys((0.0, 1.0), np.full(3, 1e6))) == []


def test_the_weakest_takes_longest_for_an_equal_part():
    graph = swath.load("zoo:vgg11@64x64")
    costs = nominal_costs(cluster())
    even = Split("rows", NAMES, (1.0, 1.0, 1.0))
    search = Search(Strips(Tables(Layouts(graph), costs), (even,)), costs)
    (result,) = search.best({0.0: None})
    split, seconds = search.seconds_of(result)[0]
    assert split == even
    assert seconds.argmax() == UNEVEN.index(min(UNEVEN))
